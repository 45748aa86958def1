#pragma once
// The stub server without its sockets: one message in, one answer out, at once or later.

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "dns/message.hpp"
#include "dns/stub_server.hpp"

namespace nono::dns {

// Sends one answer to whoever asked; harmless when they are gone.
using Reply = std::function<void(Bytes)>;

// Who asks; lives as long as the call that it is passed to.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual IpAddress address() const = 0;
  virtual bool stream() const = 0;  // no need to fit into a datagram
  virtual Reply later() const = 0;  // for an answer that is not there yet
};

class StubCore : public std::enable_shared_from_this<StubCore> {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  StubCore(Executor executor, NameJudge& judge, AnswerSource& source, const StubOptions& options,
           OnDecision on_decision);
  ~StubCore();
  StubCore(const StubCore&) = delete;
  StubCore& operator=(const StubCore&) = delete;

  // The answer's size in `out` (AnswerWriter::size_max bytes), or 0: none, or not yet.
  std::size_t handle(Bytes message, const Caller& caller, std::span<std::uint8_t> out,
                     TimePoint now);
  void forget_names();
  // The server goes: nothing is told or answered any more.
  void close();
  void sweep(TimePoint now);
  // True while decisions are counted that sweep() would tell of.
  bool needs_sweep() const { return !decisions_.empty(); }

  const StubOptions& options() const { return options_; }
  StubCounters& counters() { return *counters_; }
  std::size_t names_known() const { return names_.size(); }
  std::size_t lookups_waiting() const { return lookups_.size(); }

 private:
  // What is known of a name: the verdict, and for permitted names perhaps an answer.
  struct Known {
    bool local = false;            // localhost: not judged, answered here
    std::optional<Permit> permit;  // none: denied
    Refusal refusal;
    TimePoint judged_until{};
    std::optional<SourceAnswer> answer;
    TimePoint answer_until{};
  };
  struct Waiting;
  // A query made after the policy changed does not join a look-up that was permitted before.
  struct LookupKey {
    std::string name;
    std::uint64_t generation = 0;
    friend bool operator==(const LookupKey&, const LookupKey&) = default;
  };
  struct LookupHash {
    std::size_t operator()(const LookupKey& key) const { return of_name(key.name); }
    KeyedHash of_name;
  };
  using Lookup = std::vector<std::unique_ptr<Waiting>>;
  // One query on its way to an answer.
  struct Asked {
    const Query& query;
    IpAddress client;
    bool stream;
    TimePoint now;
    std::span<std::uint8_t> out;
  };

  std::size_t write(const Asked& asked, Rcode rcode);
  std::size_t write_empty(const Asked& asked, Rcode rcode, std::uint32_t ttl_seconds);
  std::size_t write_refusal(const Asked& asked, Rcode rcode, const Refusal& refusal,
                            ExtendedError error);
  std::size_t finish(AnswerWriter& writer);
  std::size_t deny(const Asked& asked, const Refusal& refusal);
  std::size_t refuse_over_limit(const Asked& asked);
  std::size_t answer_local(const Asked& asked);
  std::size_t answer_reverse(const Asked& asked);
  std::size_t answer_permitted(const Asked& asked, Known& known, const Caller& caller);
  std::size_t answer_with(const Asked& asked, const SourceAnswer& answer, TimePoint until,
                          const Permit& permit);
  std::size_t begin_lookup(const Asked& asked, const Permit& permit, const Caller& caller);
  LookupKey lookup_key(const Query& query) const;
  void settle(const LookupKey& key, const Permit& permit, const SourceAnswer& answer);
  Known judge(const WireName& name, TimePoint now);
  void note(const Asked& asked, bool allowed, const Because& because, std::string_view detail,
            std::string_view fix);
  TimePoint remember(Known& known, SourceAnswer answer, TimePoint now);

  Executor executor_;
  NameJudge& judge_;
  AnswerSource& source_;
  StubOptions options_;
  ClientLimits limits_;
  DecisionLog decisions_;
  std::shared_ptr<StubCounters> counters_;
  RecentTable<Known> names_;
  std::uint64_t generation_ = 0;  // of the policy
  std::unordered_map<LookupKey, Lookup, LookupHash> lookups_;
  std::size_t waiting_ = 0;
  std::map<IpAddress, std::size_t> waiting_by_client_;
};

}  // namespace nono::dns
