#pragma once
// Answers with the addresses that the DNS gives and the filter admits.

#include <memory>

#include "dns/answer_source.hpp"
#include "dns/resolver.hpp"

namespace nono::dns {

class VettedAnswers final : public AnswerSource {
 public:
  // `resolver` outlives this. Clients get no more than `ttl_max`: what policy says may change
  // sooner than the DNS does.
  explicit VettedAnswers(Resolver& resolver, std::chrono::seconds ttl_min = std::chrono::seconds(1),
                         std::chrono::seconds ttl_max = std::chrono::seconds(300))
      : resolver_(resolver), ttl_min_(ttl_min), ttl_max_(ttl_max) {}

  std::optional<SourceAnswer> at_once(const Permit& permit, TimePoint now) override;
  Awaitable<SourceAnswer> look_up(Permit permit, TimePoint deadline) override;

 private:
  Resolver& resolver_;
  std::shared_ptr<char> alive_ = std::make_shared<char>('\0');
  std::chrono::seconds ttl_min_, ttl_max_;
};

}  // namespace nono::dns
