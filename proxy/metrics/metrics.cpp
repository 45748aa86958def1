#include "proxy/metrics/metrics.hpp"

namespace nono::metrics {

namespace {

constexpr bool in_order() {
  for (std::size_t at = 0; at < families.size(); ++at) {
    if (static_cast<std::size_t>(families[at].family) != at) return false;
  }
  return true;
}

static_assert(in_order(), "the table is in the order of its enumeration");
static_assert(static_cast<std::size_t>(Reason::malformed) + 1 == reasons);
static_assert(static_cast<std::size_t>(audit::Way::inbound) + 1 == ways);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace

Values sum(std::span<const Metrics* const> workers) {
  Values out{};
  for (const Metrics* worker : workers) {
    for (std::size_t cell = 0; cell < cells; ++cell) out[cell] += worker->value(cell);
  }
  return out;
}

}  // namespace nono::metrics
