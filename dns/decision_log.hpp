#pragma once
// What the stub server decided, for the audit log: each client and name once in a while with a
// count, so that a flood of queries does not drown the log.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "config/base/permit.hpp"
#include "dns/client_limits.hpp"
#include "dns/recent_table.hpp"

namespace nono::dns {

// A decision, or several alike.
struct StubDecision {
  IpAddress client;
  std::string name;  // as text, escapes included; empty: decisions about names and by clients that
                     // there was no room to tell apart
  std::uint16_t type = 0;  // that was asked for first
  bool allowed = false;
  Because because;
  std::string detail, fix;  // where not allowed, or let pass by observe mode
  std::uint64_t times = 1;
};
using OnDecision = std::function<void(const StubDecision&)>;

struct DecisionLogLimits {
  std::chrono::seconds window{60};  // after a decision was told, its like are only counted
  std::size_t entries_max = 4096;   // decisions that are being counted
  Rate told{200, 2000};             // beyond that, decisions are told as a number alone
};

// The first decision about a name is told at once; those that follow within the window are counted,
// and told with their number when it ends. Used on one thread.
class DecisionLog {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  DecisionLog(const DecisionLogLimits& limits, OnDecision on_decision);
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;

  // `name` is any key that stands for the name. `make` gives the StubDecision, and is called only
  // where it is told; otherwise nothing is allocated.
  template <class Make>
  void note(const IpAddress& client, std::string_view name, bool allowed, TimePoint now,
            const Make& make) {
    if (!on_decision_ || counted(client, name, allowed) || !room(allowed, now)) return;
    tell(make(), now);
  }
  // Tells of the windows that are over; to be called every few seconds while there are any.
  void sweep(TimePoint now);
  // Tells what is still counted, and nothing from then on.
  void close();
  bool empty() const { return counted_.size() == 0 && lumped_denied_ == 0 && lumped_allowed_ == 0; }

 private:
  struct Counted {
    StubDecision decision;
    std::uint64_t more = 0;
    TimePoint until{};
  };
  bool counted(const IpAddress& client, std::string_view name, bool allowed);
  bool room(bool allowed, TimePoint now);
  void tell(StubDecision decision, TimePoint now);
  void tell_more(Counted& counted);
  void tell_lumped();

  DecisionLogLimits limits_;
  OnDecision on_decision_;
  RecentTable<Counted> counted_;
  TokenBucket told_;
  std::string key_;  // client, verdict and name of the decision at hand; keeps its memory
  std::uint64_t lumped_denied_ = 0, lumped_allowed_ = 0;
};

}  // namespace nono::dns
