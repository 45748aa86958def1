#pragma once
// What the load is asked to do.

#include <array>
#include <map>
#include <string>

#include "bench/sockets.hpp"

namespace nono::bench {

enum class Mode : std::uint8_t {
  connect,  // open a tunnel, a ClientHello through it and back, close; again
  rtt,      // 64-byte round trips through kept tunnels
  idle,     // open the tunnels, say "held", keep them until stdin ends
  down,     // bytes from the origin through kept tunnels; an operation is a MiB
  up,       // bytes to the origin; an operation is a MiB
  http,     // GET of 1 KiB; with --once a connection for each
  bulk      // GET of 64 MiB; an operation is a MiB
};

// How the target is reached.
enum class Way : std::uint8_t {
  direct,    // no proxy: connect to the origin
  relay,     // connect to the proxy, which knows where to go; requests in origin form
  connect,   // CONNECT first
  absolute,  // http://target/ in the request line
};

struct Options {
  Mode mode = Mode::connect;
  Way way = Way::connect;
  sockaddr_in proxy{}, origin{};
  std::uint32_t origins = 16;
  int connections = 32;
  double seconds = 3;
  std::uint64_t operations_max = 0;  // ends the run as well; 0: time alone does
  std::string auth;                  // a whole Proxy-Authorization field
  std::string names;  // "o%.bench.example": the origins by name, their number in place of %
  std::string path = "/", field;
  std::string authority;  // PEM file: TLS inside, verified against it
  bool once = false;
  bool settles = false;  // says "begin" on stdout once all connections work, and awaits a byte

  bool is_http() const { return mode == Mode::http || mode == Mode::bulk; }
  // Opaque tunnels begin with a ClientHello.
  bool says_hello() const { return !is_http(); }
};

constexpr const char* usage =
    "usage: bench_load connect|rtt|idle|down|up|http|bulk --way direct|relay|connect|absolute\n"
    "  [--proxy A:P] [--origin A:P] [--origins N] [--names o%.NAME] [--connections N] [--seconds "
    "S]\n"
    "  [--operations N] [--auth VALUE] [--path P] [--field 'Name: value'] [--tls CA-FILE] "
    "[--once]\n";

inline Options parse(int argc, char** argv) {
  static const std::map<std::string, Mode> modes = {
      {"connect", Mode::connect}, {"http", Mode::http}, {"rtt", Mode::rtt},  {"idle", Mode::idle},
      {"down", Mode::down},       {"up", Mode::up},     {"bulk", Mode::bulk}};
  static const std::map<std::string, Way> ways = {{"direct", Way::direct},
                                                  {"relay", Way::relay},
                                                  {"connect", Way::connect},
                                                  {"absolute", Way::absolute}};
  Options options;
  if (argc < 2 || !modes.contains(argv[1])) {
    std::fputs(usage, stderr);
    std::exit(2);
  }
  options.mode = modes.at(argv[1]);
  if (options.mode == Mode::bulk) options.path = "/bulk/67108864";
  for (int at = 2; at < argc; ++at) {
    const std::string name = argv[at];
    if (name == "--once" || name == "--settle") {
      (name == "--once" ? options.once : options.settles) = true;
      continue;
    }
    if (++at >= argc) die(name);
    const std::string value = argv[at];
    if (name == "--way" && ways.contains(value))
      options.way = ways.at(value);
    else if (name == "--proxy")
      options.proxy = parse_endpoint(value);
    else if (name == "--origin")
      options.origin = parse_endpoint(value);
    else if (name == "--origins")
      options.origins = static_cast<std::uint32_t>(std::stoul(value));
    else if (name == "--names")
      options.names = value;
    else if (name == "--connections")
      options.connections = std::stoi(value);
    else if (name == "--seconds")
      options.seconds = std::stod(value);
    else if (name == "--operations")
      options.operations_max = std::stoull(value);
    else if (name == "--auth")
      options.auth = "Proxy-Authorization: " + value + "\r\n";
    else if (name == "--path")
      options.path = value;
    else if (name == "--field")
      options.field = value + "\r\n";
    else if (name == "--tls")
      options.authority = value;
    else
      die(name);
  }
  return options;
}

}  // namespace nono::bench
