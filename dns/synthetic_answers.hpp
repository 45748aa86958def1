#pragma once
// Answers with made-up addresses: for a place where connecting to one leads to us.

#include "dns/answer_source.hpp"
#include "dns/synthetic_pool.hpp"

namespace nono::dns {

// `pool` outlives this. Where it has no address left, names fail for a moment (SERVFAIL).
class SyntheticAnswers final : public AnswerSource {
 public:
  explicit SyntheticAnswers(SyntheticPool& pool) : pool_(pool) {}

  std::optional<SourceAnswer> at_once(const Permit& permit, TimePoint now) override;
  Awaitable<SourceAnswer> look_up(Permit permit, TimePoint deadline) override;
  std::optional<HostName> name_of(const IpAddress& address) override {
    return pool_.name_of(address);
  }

 private:
  SyntheticPool& pool_;
};

}  // namespace nono::dns
