#include "dns/vetted_answers.hpp"

#include <algorithm>

namespace nono::dns {
namespace {

using Status = SourceAnswer::Status;

constexpr std::chrono::seconds negative_ttl{5};

SourceAnswer failure_of(Error error, bool name_missing) {
  SourceAnswer answer;
  answer.ttl = negative_ttl;
  switch (error.code) {
    case ErrorCode::name_not_found:
      answer.status = name_missing ? Status::no_such_name : Status::no_address;
      break;
    case ErrorCode::address_refused:
      answer.status = Status::refused;
      answer.refusal.because.reason = Reason::private_address;
      answer.refusal.detail = std::move(error.what);
      answer.refusal.fix = std::move(error.fix);
      break;
    default:
      answer.status = Status::failed;
      answer.refusal.because.reason = Reason::upstream_failed;
      answer.refusal.detail = std::move(error.what);
      answer.refusal.fix = std::move(error.fix);
  }
  return answer;
}

// A coroutine without the source: that may be gone when the answer comes.
Awaitable<SourceAnswer> ask(Resolver& resolver, std::weak_ptr<char> alive, Permit permit,
                            std::chrono::steady_clock::time_point deadline,
                            std::chrono::seconds ttl_min, std::chrono::seconds ttl_max) {
  Result<VettedAddresses> vetted = co_await resolver.resolve(permit, deadline, Asker::dns_client);
  if (!vetted) {
    Error error = std::move(vetted.error());
    const bool missing = error.code == ErrorCode::name_not_found && !alive.expired() &&
                         resolver.known_missing(permit.target().host.name());
    co_return failure_of(std::move(error), missing);
  }
  SourceAnswer answer;
  answer.status = Status::found;
  answer.addresses = vetted->addresses();
  if (vetted->set_aside() != nullptr) answer.set_aside = *vetted->set_aside();
  answer.ttl = std::min(std::max(vetted->ttl(), ttl_min), ttl_max);
  co_return answer;
}

}  // namespace

std::optional<SourceAnswer> VettedAnswers::at_once(const Permit& /*permit*/, TimePoint /*now*/) {
  return std::nullopt;
}

Awaitable<SourceAnswer> VettedAnswers::look_up(Permit permit, TimePoint deadline) {
  return ask(resolver_, alive_, std::move(permit), deadline, ttl_min_, ttl_max_);
}

}  // namespace nono::dns
