#pragma once
// Names that become label values: each gets a slot, once and for good, as long as there are slots.

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nono::metrics {

// Any thread. Slots are asked for when a session or a credential is made, never for a request. Slot
// 0 is everybody's who came too late; its name is `other`. A name keeps its slot when its session
// ends, and one that comes back by that name counts on: counters must not run backwards.
class Names {
 public:
  explicit Names(std::size_t slots) : slots_(slots) {}

  std::size_t slot(std::string_view name);
  // By slot.
  std::vector<std::string> all() const;

 private:
  const std::size_t slots_;
  mutable std::mutex mutex_;
  std::vector<std::string> names_{"other"};
  std::unordered_map<std::string, std::size_t> by_name_;
};

}  // namespace nono::metrics
