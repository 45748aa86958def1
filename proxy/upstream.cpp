#include "proxy/upstream.hpp"

#include <algorithm>
#include <functional>
#include <string_view>

namespace nono {

namespace {

using Clock = std::chrono::steady_clock;

std::size_t hash_of(const Session& session, const UpstreamPlace& place) {
  const Host& host = place.at.host;
  std::size_t hash = 0;
  if (host.is_name()) {
    hash = std::hash<std::string_view>()(host.name().text());
  } else {
    const auto bytes = host.address().bytes();
    hash = std::hash<std::string_view>()(
        std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  return hash ^ std::hash<const Session*>()(&session) ^ place.at.port.value();
}

}  // namespace

void Upstream::reset() {
  stream.reset();
  tcp = nullptr;
  in = http::InputBuffer();
  place.reset();
  personal = false;
}

bool Upstream::usable_for(const UpstreamPlace& wanted) {
  return stream && place && *place == wanted && in.empty() && stream->is_quiet();
}

UpstreamPool::Shelf* UpstreamPool::find(std::size_t hash, const Session& session,
                                        const UpstreamPlace& place) {
  auto [at, end] = shelves_.equal_range(hash);
  for (; at != end; ++at) {
    if (at->second.session == &session && at->second.place == place) return &at->second;
  }
  return nullptr;
}

bool UpstreamPool::take(const Session& session, const UpstreamPlace& place, Upstream& out) {
  Shelf* shelf = find(hash_of(session, place), session, place);
  if (shelf == nullptr) return false;
  while (!shelf->kept.empty()) {
    const KeptList::iterator newest = shelf->kept.back();
    shelf->kept.pop_back();
    const bool usable = newest->upstream.usable_for(place);
    if (usable) out = std::move(newest->upstream);
    kept_.erase(newest);
    if (usable) return true;
  }
  return false;
}

bool UpstreamPool::put(const Session& session, Upstream& upstream, const Limits& limits) {
  const bool keep = limits.upstream_pool_max > 0 && !upstream.personal && upstream.place &&
                    upstream.in.empty() && sessions_.count(&session) != 0;
  if (!keep) return false;
  const std::size_t hash = hash_of(session, *upstream.place);
  Shelf* shelf = find(hash, session, *upstream.place);
  if (shelf == nullptr) {
    if (shelves_.size() >= 2 * limits.upstream_pool_max) drop_empty_shelves();
    shelf = &shelves_.emplace(hash, Shelf{&session, *upstream.place, {}})->second;
  }
  if (shelf->kept.size() >= limits.upstream_pool_per_target_max) drop(shelf->kept.front());
  if (kept_.size() >= limits.upstream_pool_max) drop(kept_.begin());
  upstream.stream->never_expires();
  upstream.in.release();
  const auto until = Deadlines::coarse_now() + limits.upstream_idle_time_max;
  if (kept_.empty()) deadlines_.arm(*this, limits.upstream_idle_time_max);
  kept_.push_back(Kept{std::move(upstream), shelf, until, metrics::IdleMark(metrics_)});
  shelf->kept.push_back(std::prev(kept_.end()));
  upstream.reset();
  return true;
}

void UpstreamPool::drop(KeptList::iterator which) {
  std::erase(which->shelf->kept, which);
  kept_.erase(which);
}

void UpstreamPool::drop_empty_shelves() {
  std::erase_if(shelves_, [](const auto& item) { return item.second.kept.empty(); });
}

void UpstreamPool::dismiss(const Session& session) {
  sessions_.erase(&session);
  kept_.remove_if([&](const Kept& kept) { return kept.shelf->session == &session; });
  std::erase_if(shelves_, [&](const auto& item) { return item.second.session == &session; });
}

// Closes what has waited too long. A reload may have changed how long that is, so each has its own
// time; the oldest is looked at when its time may have come.
void UpstreamPool::on_expired() noexcept {
  revive();
  const auto now = Clock::now();
  while (!kept_.empty() && kept_.front().until <= now) drop(kept_.begin());
  drop_empty_shelves();
  if (kept_.empty()) return;
  const auto rest = std::chrono::ceil<std::chrono::milliseconds>(kept_.front().until - now);
  deadlines_.arm(*this, rest);
}

}  // namespace nono
