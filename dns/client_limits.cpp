#include "dns/client_limits.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace nono::dns {

bool TokenBucket::take(const Rate& rate, TimePoint now) {
  if (rate.per_second == 0) return true;
  const double burst = std::max(rate.burst, 1U);
  if (!begun_) {
    tokens_ = burst;
    begun_ = true;
  } else if (now > filled_) {
    const double seconds = std::chrono::duration<double>(now - filled_).count();
    tokens_ = std::min(burst, tokens_ + seconds * rate.per_second);
  }
  filled_ = std::max(filled_, now);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

ClientLimits::Buckets& ClientLimits::buckets_of(const IpAddress& client) {
  std::array<char, 17> key{};
  // An IPv6 client has a /64 to choose its address from.
  std::memcpy(key.data(), client.bytes().data(), client.is_v4() ? 4 : 8);
  key[16] = client.is_v4() ? '4' : '6';
  const std::string_view text(key.data(), key.size());
  Buckets* known = clients_.find(text);
  return known != nullptr ? *known : clients_.add(text, Buckets{});
}

bool ClientLimits::admit_query(const IpAddress& client, TimePoint now) {
  return queries_.per_second == 0 || buckets_of(client).queries.take(queries_, now);
}

bool ClientLimits::admit_lookup(const IpAddress& client, TimePoint now) {
  if (lookups_.per_second != 0 && !buckets_of(client).lookups.take(lookups_, now)) return false;
  return of_all_.take(all_, now);
}

}  // namespace nono::dns
