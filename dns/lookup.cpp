#include "dns/lookup.hpp"

#include <fmt/format.h>
#include <algorithm>

#include "dns/filter.hpp"

namespace nono::dns {
namespace {

// RFC 8305 3: how long AAAA may lag behind A.
constexpr std::chrono::milliseconds resolution_delay{50};

constexpr std::string_view advice = "check the DNS server, or name another with --dns-server ADDR";

bool found(const std::optional<Outcome>& outcome) {
  return outcome && outcome->verdict == Verdict::found;
}

bool conclusive(const std::optional<Outcome>& outcome) {
  return outcome && outcome->verdict != Verdict::failed && outcome->verdict != Verdict::timed_out;
}

}  // namespace

// Registers a waiter's timer for as long as the waiting coroutine lives, however that ends.
class Lookup::Waiter {
 public:
  Waiter(Lookup& lookup, SteadyTimer& timer)
      : lookup_(lookup), place_(lookup.waiters_.insert(lookup.waiters_.end(), &timer)) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { lookup_.waiters_.erase(place_); }

 private:
  Lookup& lookup_;
  std::list<SteadyTimer*>::iterator place_;
};

Lookup::Lookup(Executor executor, HostName name, std::shared_ptr<Servers> servers)
    : executor_(executor), name_(std::move(name)), servers_(std::move(servers)), delay_(executor) {}

void Lookup::start(Settled settled) {
  settled_ = std::move(settled);
  for (Family family : {Family::v6, Family::v4}) {
    servers_->query(name_, family, [weak = weak_from_this(), family](Outcome outcome) {
      std::shared_ptr<Lookup> self = weak.lock();
      if (self) self->take(family, std::move(outcome));
    });
  }
}

Awaitable<Lookup::Answer> Lookup::wait(std::shared_ptr<Lookup> self,
                                       std::chrono::steady_clock::time_point deadline) {
  if (!self->answer_) {
    SteadyTimer timer(self->executor_, deadline);
    Waiter waiter(*self, timer);
    co_await timer.async_wait(as_result);  // publish() cancels it
  }
  if (!self->answer_) co_return tl::unexpected<Error>(self->timeout());
  co_return *self->answer_;
}

void Lookup::abandon() {
  settled_ = nullptr;
  if (!answer_) publish(fail(ErrorCode::closed, "the resolver is shutting down"));
  servers_ = nullptr;  // closes their sockets now, not when the last waiter has gone
}

void Lookup::take(Family family, Outcome outcome) {
  (family == Family::v4 ? v4_ : v6_) = std::move(outcome);
  if (v4_ && v6_) {
    delay_.cancel();
    if (!answer_) publish(combined());
    Settled settled = std::exchange(settled_, nullptr);
    if (settled) settled(finding());
    return;
  }
  // AAAA alone waits for A as long as it takes: a machine without IPv6 has no use for it.
  bool enough = found(v4_) || (v4_ && v4_->verdict == Verdict::no_such_name);
  if (enough && !delay_started_) start_delay();
}

void Lookup::start_delay() {
  delay_started_ = true;
  delay_.expires_after(resolution_delay);
  delay_.async_wait([weak = weak_from_this()](ErrorCodeSys error) {
    std::shared_ptr<Lookup> self = weak.lock();
    if (self && !error && !self->answer_) self->publish(self->combined());
  });
}

// The family whose outcome explains why there is no address.
const Outcome* Lookup::decisive() const {
  if (v6_ && (!v4_ || v4_->verdict == Verdict::no_address)) return &*v6_;
  return v4_ ? &*v4_ : nullptr;
}

Lookup::Answer Lookup::combined() const {
  std::vector<IpAddress> all;
  std::chrono::seconds ttl = std::chrono::seconds::max();
  for (const std::optional<Outcome>* outcome : {&v6_, &v4_}) {
    if (!found(*outcome)) continue;
    all.insert(all.end(), (*outcome)->addresses.begin(), (*outcome)->addresses.end());
    ttl = std::min(ttl, (*outcome)->ttl);
  }
  if (all.empty()) return tl::unexpected<Error>(failure());
  return Found{interleave_families(all), ttl};
}

Error Lookup::failure() const {
  const Outcome* outcome = decisive();
  if (outcome == nullptr || outcome->verdict == Verdict::timed_out) return timeout();
  if (outcome->verdict == Verdict::failed) {
    return Error{Side::upstream, ErrorCode::dns_failed,
                 fmt::format("{} could not be resolved: {}", name_.text(), outcome->detail),
                 std::string(advice)};
  }
  return no_address_error(name_);
}

Error Lookup::timeout() const {
  return Error{Side::upstream, ErrorCode::dns_timeout,
               fmt::format("no DNS server answered for {} in time (asked {})", name_.text(),
                           servers_->to_string()),
               std::string(advice)};
}

// A failure is not remembered, nor addresses that came while A failed: the next one asks again.
std::optional<Lookup::Finding> Lookup::finding() const {
  if (!conclusive(v4_)) return std::nullopt;
  Finding result;
  Answer all = combined();
  if (all) static_cast<Found&>(result) = std::move(*all);
  result.missing = v4_->verdict == Verdict::no_such_name && !found(v6_);
  bool known_to_have_none = conclusive(v6_) || result.missing;
  if (result.addresses.empty() && !known_to_have_none) return std::nullopt;
  return result;
}

void Lookup::publish(Answer answer) {
  answer_ = std::move(answer);
  for (SteadyTimer* timer : waiters_) timer->cancel();
}

Error no_address_error(const HostName& name) {
  return Error{Side::upstream, ErrorCode::name_not_found,
               fmt::format("the DNS knows no address for {}", name.text()),
               "check the spelling of the name"};
}

}  // namespace nono::dns
