#include "dns/synthetic_answers.hpp"

namespace nono::dns {

std::optional<SourceAnswer> SyntheticAnswers::at_once(const Permit& permit, TimePoint now) {
  SourceAnswer answer;
  std::optional<SyntheticPool::Addresses> given = pool_.give(permit.target().host.name(), now);
  if (!given) {
    answer.refusal.because.reason = Reason::limit;
    answer.refusal.detail = "every made-up address is in use";
    answer.refusal.fix = "try again when connections have ended";
    return answer;
  }
  answer.status = SourceAnswer::Status::found;
  answer.ttl = pool_.ttl();
  answer.addresses.push_back(given->v4);
  if (given->v6) answer.addresses.push_back(*given->v6);
  return answer;
}

Awaitable<SourceAnswer> SyntheticAnswers::look_up(Permit /*permit*/, TimePoint /*deadline*/) {
  co_return SourceAnswer{};  // at_once() always has an answer
}

}  // namespace nono::dns
