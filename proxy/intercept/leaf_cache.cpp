#include <algorithm>

#include "proxy/intercept/ca.hpp"

namespace nono::intercept {

namespace {
constexpr std::chrono::hours renew_after{12};  // half of a leaf's validity
}

Result<const ServerCertificate*> LeafCache::certificate_for(const Host& host) {
  const std::string name = host.to_string();
  const auto now = std::chrono::steady_clock::now();
  const auto known = leaves_.find(name);
  if (known != leaves_.end()) {
    if (now < known->second->renew_at) {
      by_use_.splice(by_use_.begin(), by_use_, known->second);
      return &known->second->certificate;
    }
    by_use_.erase(known->second);
    leaves_.erase(known);
  }
  auto minted = ca_->mint(host);
  if (!minted) return fail(minted.error());
  const auto ca_ends = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      ca_->not_after() - std::chrono::system_clock::now());
  const auto renew_at = now + std::min<std::chrono::steady_clock::duration>(renew_after, ca_ends);
  by_use_.push_front(Leaf{name, std::move(*minted), renew_at});
  leaves_[name] = by_use_.begin();
  if (leaves_.size() > leaves_max_) {
    leaves_.erase(by_use_.back().host);
    by_use_.pop_back();
  }
  return &by_use_.front().certificate;
}

}  // namespace nono::intercept
