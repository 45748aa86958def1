#include "proxy/metrics/names.hpp"

namespace nono::metrics {

std::size_t Names::slot(std::string_view name) {
  const std::lock_guard lock(mutex_);
  std::string key(name);
  const auto known = by_name_.find(key);
  if (known != by_name_.end()) return known->second;
  if (names_.size() >= slots_) return 0;
  const std::size_t slot = names_.size();
  names_.push_back(key);
  by_name_.emplace(std::move(key), slot);
  return slot;
}

std::vector<std::string> Names::all() const {
  const std::lock_guard lock(mutex_);
  return names_;
}

}  // namespace nono::metrics
