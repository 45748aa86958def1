#pragma once
// The DNS servers of one resolver: who is asked first, who next, and who is not trusted for a
// while.

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dns/ares_channel.hpp"

namespace nono::dns {

// Used on the executor's thread only. Held by shared_ptr; a query whose Servers is gone never calls
// back.
class Servers : public std::enable_shared_from_this<Servers> {
 public:
  Servers(Executor executor, std::vector<HostPort> addresses, std::chrono::milliseconds timeout,
          unsigned tries);
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  // Asks the servers in turn until one says found, no_such_name or no_address, and calls back once,
  // possibly before this returns. A server that failed is not asked again for this query; one that
  // was silent is, `tries` times in all, and comes last in the queries of the next half minute.
  void query(const HostName& name, Family family, AresChannel::Callback callback);

  // For messages: "127.0.0.1:53, [::1]:53".
  std::string to_string() const;

 private:
  struct Server {
    HostPort address;
    // Made when they are needed: a second one where a port of the first has served long enough.
    std::vector<std::shared_ptr<AresChannel>> channels;
    // Whose port has served long enough while its queries still wait: asked no more.
    std::vector<std::shared_ptr<AresChannel>> retired;
    std::chrono::steady_clock::time_point distrusted_until{};
  };
  struct Turn {
    std::size_t server;
    unsigned tries_left;
  };
  struct Walk;

  std::deque<Turn> order() const;
  Result<std::shared_ptr<AresChannel>> channel_of(Server& server);
  bool retire_oldest(Server& server);
  void step(const std::shared_ptr<Walk>& walk);
  void take(const std::shared_ptr<Walk>& walk, Turn turn, Outcome outcome);

  Executor executor_;
  std::vector<Server> servers_;
  std::chrono::milliseconds timeout_;
  unsigned tries_;
};

}  // namespace nono::dns
