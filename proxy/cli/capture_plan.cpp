#include "proxy/cli/capture_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/policy/named_ports.hpp"

namespace nono::cli {

namespace {

// Each listed port costs a descriptor here; beyond that, only redirecting every port helps.
constexpr std::size_t listed_ports_max = 400;

bool has(const std::vector<Port>& ports, Port port) {
  return std::find(ports.begin(), ports.end(), port) != ports.end();
}

}  // namespace

sandbox::Capture plan_capture(const SessionConfig& config, sandbox::AllPorts all_ports) {
  sandbox::Capture capture;
  capture.all_ports = all_ports;
  capture.dns = true;
  capture.loopback_ports = config.network.open_ports;
  capture.ports = policy::named_ports(config.network, config.credentials).ports;
  for (const Port usual : {http_port, https_port}) {
    if (!has(capture.ports, usual)) capture.ports.insert(capture.ports.begin(), usual);
  }
  if (capture.ports.size() > listed_ports_max) capture.ports.resize(listed_ports_max, http_port);
  return capture;
}

Result<Port> choose_proxy_port(std::optional<std::uint16_t> wanted,
                               const sandbox::Capture& capture) {
  const auto taken = [&](Port port) {
    return has(capture.loopback_ports, port) || has(capture.ports, port);
  };
  if (!wanted) {
    std::uint16_t port = ProxyEndpoints{}.http.value();
    while (taken(Port(port))) ++port;
    return Port(port);
  }
  if (!taken(Port(*wanted))) return Port(*wanted);
  return fail(ErrorCode::bad_input,
              fmt::format("--proxy-port {} is a port that --open-port or a rule names", *wanted),
              "choose another, or leave --proxy-port out");
}

std::string capture_warning(const SessionConfig& config, const sandbox::Capture& capture,
                            bool all_ports) {
  if (all_ports) return {};
  const policy::NamedPorts named = policy::named_ports(config.network, config.credentials);
  if (!named.every_port && named.ports.size() <= capture.ports.size()) return {};
  return "programs without proxy settings reach only some ports: this kernel cannot redirect all "
         "of "
         "them (nf_tables with TPROXY)";
}

}  // namespace nono::cli
