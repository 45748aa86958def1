#include "proxy/gateway.hpp"

#include <algorithm>

namespace nono {

void RefusalList::add(const audit::Record& record) {
  const std::lock_guard lock(mutex_);
  if (records_.size() >= refusals_max) return;
  const auto same = [&](const audit::Record& known) {
    return known.host == record.host && known.port == record.port &&
           known.because.reason == record.because.reason;
  };
  if (std::none_of(records_.begin(), records_.end(), same)) records_.push_back(record);
}

std::vector<audit::Record> RefusalList::take_copy() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

}  // namespace nono
