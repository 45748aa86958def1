#pragma once
// A connection to an upstream, and the pool of those that wait for their next request.

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "config/base/host.hpp"
#include "proxy/http/body.hpp"
#include "proxy/limits.hpp"
#include "proxy/metrics/metrics.hpp"
#include "proxy/net/deadlines.hpp"
#include "proxy/net/frame_pool.hpp"
#include "proxy/net/tcp_stream.hpp"

namespace nono {

class Session;

// What a connection to an upstream is to carry.
enum class Leg : std::uint8_t { tunnel, http, https };

// Where requests go, and what the way there was vetted for.
struct UpstreamPlace {
  HostPort at;  // the permit's target, or the upstream proxy where that takes the request itself
  Leg leg = Leg::http;
  // A rule named the address, so that its class did not count: others may not go there by it.
  bool literal = false;
  friend bool operator==(const UpstreamPlace&, const UpstreamPlace&) = default;
};

struct Upstream {
  std::unique_ptr<ByteStream> stream;
  TcpStream* tcp = nullptr;  // the socket below stream
  http::InputBuffer in;
  std::optional<UpstreamPlace> place;
  IpAddress address;      // the vetted one
  bool personal = false;  // it has been signed in to as a whole (NTLM): for one client only

  void reset();
  // True where it leads to `wanted` and waits for a request: open, and nothing unread on it.
  bool usable_for(const UpstreamPlace& wanted);
};

// Connections between two requests. Each belongs to one session for good: it was opened by that
// session's rules, and nothing of another's ever passes through it. One per worker, used on its
// thread.
class UpstreamPool final : private Expiring {
 public:
  // `metrics`: where it counts what it keeps; null: nowhere.
  explicit UpstreamPool(Deadlines& deadlines, metrics::Metrics* metrics = nullptr)
      : deadlines_(deadlines), metrics_(metrics) {}
  ~UpstreamPool() override = default;
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;

  // Only connections of sessions that were admitted and not dismissed are kept.
  void admit(const Session& session) { sessions_.insert(&session); }
  void dismiss(const Session& session);

  // Moves the connection that was used last into `out`, unless its peer has spoken or closed
  // meanwhile. False: there is none, and `out` is as it was.
  bool take(const Session& session, const UpstreamPlace& place, Upstream& out);
  // Keeps a connection behind a complete response. False: it stays the caller's. The oldest gives
  // way where there are too many.
  bool put(const Session& session, Upstream& upstream, const Limits& limits);
  std::size_t size() const { return kept_.size(); }

 private:
  struct Shelf;
  struct Kept {
    Upstream upstream;
    Shelf* shelf;
    std::chrono::steady_clock::time_point until;
    metrics::IdleMark idle;
  };
  using KeptList = std::list<Kept, PoolAllocator<Kept>>;
  // What is kept of one session for one place.
  struct Shelf {
    const Session* session;
    UpstreamPlace place;
    std::vector<KeptList::iterator> kept;  // newest last
  };
  using Shelves = std::unordered_multimap<std::size_t, Shelf>;

  Shelf* find(std::size_t hash, const Session& session, const UpstreamPlace& place);
  void drop(KeptList::iterator which);
  void drop_empty_shelves();
  void on_expired() noexcept override;

  Deadlines& deadlines_;
  metrics::Metrics* metrics_;
  std::unordered_set<const Session*> sessions_;
  KeptList kept_;  // oldest first
  Shelves shelves_;
};

}  // namespace nono
