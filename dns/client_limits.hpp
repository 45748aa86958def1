#pragma once
// How much one client may ask: token buckets by address, and one for all together.

#include <chrono>
#include <cstdint>

#include "config/base/address.hpp"
#include "dns/recent_table.hpp"

namespace nono::dns {

// A rate with a burst: `per_second` tokens flow in, never more than `burst` lie there. 0 per
// second: no limit.
struct Rate {
  std::uint32_t per_second = 0;
  std::uint32_t burst = 0;
};

class TokenBucket {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // True, and one token less, where there is one.
  bool take(const Rate& rate, TimePoint now);

 private:
  double tokens_ = 0;
  TimePoint filled_{};
  bool begun_ = false;  // a bucket begins full
};

// One bucket per client for queries and one for look-ups, for the clients heard of last, and one
// bucket for the look-ups of all: addresses of UDP clients can be made up.
class ClientLimits {
 public:
  using TimePoint = TokenBucket::TimePoint;

  ClientLimits(Rate queries, Rate lookups, Rate lookups_of_all, std::size_t clients_max)
      : queries_(queries), lookups_(lookups), all_(lookups_of_all), clients_(clients_max) {}

  bool admit_query(const IpAddress& client, TimePoint now);
  bool admit_lookup(const IpAddress& client, TimePoint now);

 private:
  struct Buckets {
    TokenBucket queries, lookups;
  };
  Buckets& buckets_of(const IpAddress& client);

  Rate queries_, lookups_, all_;
  TokenBucket of_all_;
  RecentTable<Buckets> clients_;
};

}  // namespace nono::dns
