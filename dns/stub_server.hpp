#pragma once
// The DNS stub server: a resolver for clients (UDP and TCP) that answers only for names which
// policy permits. A denied name is answered at once, and nobody is asked.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "dns/answer_source.hpp"
#include "dns/client_limits.hpp"
#include "dns/decision_log.hpp"
#include "proxy/net/asio.hpp"

namespace nono::dns {

// Only ever grows; written by the server's thread, readable from any.
class Counter {
 public:
  void add(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct StubCounters {
  Counter queries;       // messages that came in
  Counter cached;        // answered from memory
  Counter missed;        // the source was asked
  Counter denied;        // by policy, or because no address of the name may be dialled
  Counter type_refused;  // of a permitted name
  Counter malformed;     // not a query that we answer: rejected or dropped
  Counter limited;       // over a rate or bound: refused
  Counter failed;        // SERVFAIL
  Counter truncated;     // the answer did not fit into UDP
  Counter tcp_connections, tcp_closed;
};

struct StubOptions {
  // Verdicts and answers kept. A flood of names replaces those that are used least.
  std::size_t names_max = 16'384;
  std::chrono::seconds judged_for{60};   // then the judge is asked again; see forget_names()
  std::chrono::seconds negative_ttl{5};  // of denials and of empty answers
  std::size_t clients_max = 4096;
  Rate queries{0, 0};          // of one client
  Rate lookups{5000, 10'000};  // of one client: questions that the source is asked
  Rate lookups_of_all{10'000, 20'000};
  std::size_t lookups_max = 1024;  // names being looked up
  std::size_t waiting_max = 4096;  // queries that wait for them
  std::size_t waiting_per_client_max = 512;
  std::chrono::milliseconds lookup_time_max{
      4000};                                       // before clients ask again (resolv.conf(5): 5 s)
  std::size_t tcp_connections_max = 128;           // one more, and the idlest goes
  std::size_t tcp_waiting_max = 64;                // queries of one connection; then it is not read
  std::chrono::milliseconds tcp_idle_max{10'000};  // without a whole query
  DecisionLogLimits decisions;
  std::shared_ptr<StubCounters> counters;  // where it counts; null: in some of its own
};

// Runs on the executor's thread, where it is made, used and destroyed. Judge and source outlive it.
//
// Answers: A and AAAA from the source; HTTPS and SVCB empty, so that no client learns a key to hide
// the name with (ECH); localhost as loopback (RFC 6761); PTR for what the source made up; any other
// type REFUSED. Denied names do not exist (NXDOMAIN), whatever the type: REFUSED would make clients
// ask their next server, and tell it the name. Clients with EDNS are told the reason (RFC 8914).
class StubServer {
 public:
  StubServer(Executor executor, NameJudge& judge, AnswerSource& source,
             const StubOptions& options = {}, OnDecision on_decision = {});
  // Closes what it was given; queries that wait are not answered. Decisions that were only counted
  // are told before it returns.
  ~StubServer();
  StubServer(const StubServer&) = delete;
  StubServer& operator=(const StubServer&) = delete;

  // Serve a bound UDP socket, a listening TCP socket. Replies leave from the address that was
  // asked, also where the socket is bound to every address. Errors: io.
  Result<void> serve_udp(UniqueFd socket);
  // `admits`: asked for each connection, by its accepted socket; without it all are served.
  Result<void> serve_tcp(UniqueFd listener, std::function<bool(int)> admits = {});

  // Policy changed: every name is judged anew.
  void forget_names();
  const StubCounters& counters() const;
  std::size_t names_known() const;
  std::size_t lookups_waiting() const;

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace nono::dns
