#pragma once
// A DNS server for tests, on a free port of 127.0.0.1, UDP and TCP, that records what it is asked.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/base/fd.hpp"
#include "config/base/host.hpp"

namespace nono::test {

inline constexpr std::uint16_t dns_type_a = 1;
inline constexpr std::uint16_t dns_type_aaaa = 28;

struct DnsQuery {
  std::string name;  // as asked, case kept
  std::uint16_t type = 0;
  bool tcp = false;
  bool edns = false;
  std::uint16_t from = 0;  // the asker's port, of UDP
};

enum class DnsFault : std::uint8_t {
  none,
  silent,  // never answers
  hold,    // answers once release() is called
  servfail,
  refused,
  truncated,  // UDP answers are empty with TC set; TCP answers are whole
  garbage,    // 64 bytes of noise
  cut_short,  // the right answer without its last 3 bytes
  wrong_id,
  wrong_question,   // answers a question about another name
  shouting,         // question and owner names come back in upper case
  formerr_on_edns,  // an old server: FORMERR to queries with EDNS
};

// Serves from its own thread. Names outside its zone do not exist (NXDOMAIN). Safe to change while
// it runs.
class FakeDns {
 public:
  FakeDns();
  ~FakeDns();
  FakeDns(const FakeDns&) = delete;
  FakeDns& operator=(const FakeDns&) = delete;

  HostPort endpoint() const;

  void add_a(const std::string& name, const std::string& address, std::uint32_t ttl_seconds = 60);
  void add_aaaa(const std::string& name, const std::string& address,
                std::uint32_t ttl_seconds = 60);
  void add_cname(const std::string& name, const std::string& target,
                 std::uint32_t ttl_seconds = 60);
  // For queries of `type` (0: every type) for `name` ("": every name); the latest that fits counts.
  void set_fault(DnsFault fault, const std::string& name = {}, std::uint16_t type = 0);
  void release();

  std::vector<DnsQuery> queries() const;
  // Queries of `type` (0: every type) for `name`, in any case.
  std::size_t count(const std::string& name, std::uint16_t type = 0) const;
  // Waits until there were at least `number` queries in all; false after 10 s.
  bool wait_for_queries(std::size_t number) const;

 private:
  struct Record {
    std::uint16_t type;
    std::vector<std::uint8_t> data;  // address bytes
    std::string target;              // CNAME
    std::uint32_t ttl_seconds;
  };
  struct Fault {
    std::string name;
    std::uint16_t type;
    DnsFault fault;
  };
  struct Connection;
  using Bytes = std::vector<std::uint8_t>;
  using Send = std::function<void(const Bytes&)>;

  void run();
  void serve_udp();
  bool serve_tcp(Connection& connection);
  void handle(const Bytes& query, bool tcp, std::uint16_t from, const Send& send);
  DnsFault fault_for(const DnsQuery& query) const;
  Bytes reply(const Bytes& query, const DnsQuery& parsed, DnsFault fault) const;
  void answer(Bytes& message, const DnsQuery& query, bool shout) const;
  void wake() const;

  UniqueFd udp_, listener_, wake_;
  Port port_{1};
  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable asked_;
  std::multimap<std::string, Record> zone_;
  std::vector<Fault> faults_;
  std::vector<DnsQuery> queries_;
  std::vector<std::function<void()>> held_;
  bool releasing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace nono::test
