#pragma once
// One DNS server, asked through c-ares, whose sockets and timeouts are driven by Asio.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/base/host.hpp"
#include "proxy/net/asio.hpp"

struct ares_channeldata;

namespace nono::dns {

enum class Family : std::uint8_t { v4, v6 };  // A or AAAA

enum class Verdict : std::uint8_t {
  found,
  no_such_name,  // NXDOMAIN
  no_address,    // the name exists, but not in this family
  failed,  // SERVFAIL, REFUSED, garbage, connection refused, ...: another server may do better
  timed_out,
};

struct Outcome {
  Verdict verdict = Verdict::failed;
  std::vector<IpAddress> addresses;  // at the end of any CNAME chain
  std::chrono::seconds ttl{};        // the least along the chain
  std::string detail;                // why it failed, for messages
};

// Asks exactly the name given: no search domains, no aliases, no hosts file, one try. UDP with
// EDNS, TCP where the answer was truncated (RFC 7766). An answer must come from the server, with
// the query's id and question. c-ares has one UDP socket, whose random port lasts until no query is
// pending: see has_room(). Used on the executor's thread only; held by shared_ptr so that late
// events find it or nothing.
class AresChannel : public std::enable_shared_from_this<AresChannel> {
 public:
  using Callback = std::function<void(Outcome)>;

  static Result<std::shared_ptr<AresChannel>> make(Executor executor, const HostPort& server,
                                                   std::chrono::milliseconds timeout);
  // Pending queries end at once, failed.
  ~AresChannel();
  AresChannel(const AresChannel&) = delete;
  AresChannel& operator=(const AresChannel&) = delete;

  // Calls back exactly once, possibly before this returns.
  void query(const HostName& name, Family family, Callback callback);

  // Whether a further query keeps the port short-lived. Who forges answers needs time to find a
  // port, and then has a chance with each query that is asked from it.
  bool has_room() const { return pending_ == 0 || asked_ < queries_per_port_max; }
  std::size_t pending() const { return pending_; }

  static constexpr std::size_t queries_per_port_max = 32;

 private:
  struct Socket;
  struct Query;

  explicit AresChannel(Executor executor);
  static void on_socket(void* self, int fd, int readable, int writable);
  static void on_answer(void* query, int status, int timeouts, unsigned char* message, int size);
  void send(std::unique_ptr<Query> query);
  void give_up_soon();
  void watch(int fd, bool readable, bool writable);
  void wait_readable(const std::shared_ptr<Socket>& socket);
  void wait_writable(const std::shared_ptr<Socket>& socket);
  void process(int readable, int writable);
  void arm_timer();

  Executor executor_;
  SteadyTimer timer_;
  bool timer_armed_ = false;
  bool giving_up_ = false;
  std::size_t pending_ = 0;
  std::size_t asked_ = 0;                                     // from this port
  std::unordered_map<int, std::shared_ptr<Socket>> sockets_;  // c-ares owns the descriptors
  ares_channeldata* channel_ = nullptr;
};

// The servers that a resolv.conf(5) names; 127.0.0.1 where it names none or is not there.
Result<std::vector<HostPort>> system_servers(std::string resolv_conf);

}  // namespace nono::dns
