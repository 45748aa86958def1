#include "dns/decision_log.hpp"

#include <utility>

namespace nono::dns {

DecisionLog::DecisionLog(const DecisionLogLimits& limits, OnDecision on_decision)
    : limits_(limits), on_decision_(std::move(on_decision)), counted_(limits.entries_max) {
  key_.reserve(320);
}

void DecisionLog::close() {
  if (!on_decision_) return;
  for (auto& entry : counted_.entries()) tell_more(entry.value);
  tell_lumped();
  counted_.clear();
  on_decision_ = nullptr;
}

bool DecisionLog::counted(const IpAddress& client, std::string_view name, bool allowed) {
  key_.assign(reinterpret_cast<const char*>(client.bytes().data()), client.bytes().size());
  key_ += client.is_v4() ? '4' : '6';
  key_ += allowed ? '+' : '-';
  key_ += name;
  Counted* known = counted_.find(key_);
  if (known != nullptr) ++known->more;
  return known != nullptr;
}

bool DecisionLog::room(bool allowed, TimePoint now) {
  if (told_.take(limits_.told, now)) return true;
  ++(allowed ? lumped_allowed_ : lumped_denied_);
  return false;
}

void DecisionLog::tell(StubDecision decision, TimePoint now) {
  on_decision_(decision);
  if (counted_.full()) tell_more(counted_.entries().back().value);
  counted_.add(key_, Counted{std::move(decision), 0, now + limits_.window});
}

void DecisionLog::tell_more(Counted& counted) {
  if (counted.more == 0) return;
  counted.decision.times = std::exchange(counted.more, 0);
  on_decision_(counted.decision);
}

void DecisionLog::tell_lumped() {
  for (bool allowed : {false, true}) {
    StubDecision decision;
    decision.allowed = allowed;
    decision.times = std::exchange(allowed ? lumped_allowed_ : lumped_denied_, 0);
    decision.because.reason = allowed ? Reason::rule_allows : Reason::no_rule;
    decision.detail = "decisions about more names than are told apart";
    if (decision.times != 0) on_decision_(decision);
  }
}

void DecisionLog::sweep(TimePoint now) {
  auto& entries = counted_.entries();
  for (auto at = entries.begin(); at != entries.end();) {
    Counted& counted = at->value;
    auto next = std::next(at);
    if (counted.until <= now && counted.more == 0) {
      counted_.erase(at->key);
    } else if (counted.until <= now) {
      tell_more(counted);
      counted.until = now + limits_.window;
    }
    at = next;
  }
  tell_lumped();
}

}  // namespace nono::dns
