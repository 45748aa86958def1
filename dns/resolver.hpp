#pragma once
// The resolver: from a Permit to addresses that may be dialled.

#include <chrono>
#include <vector>

#include "config/base/permit.hpp"
#include "proxy/net/asio.hpp"

namespace nono::dns {

// Addresses that passed the filter, in the order in which to try them. Only the filter makes one
// (dns/filter.hpp), so what is dialled is what was vetted.
class VettedAddresses {
 public:
  const std::vector<IpAddress>& addresses() const { return addresses_; }

 private:
  friend class Filter;
  explicit VettedAddresses(std::vector<IpAddress> addresses) : addresses_(std::move(addresses)) {}
  std::vector<IpAddress> addresses_;
};

// One per io_context; used on that context's thread only.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // Resolves the permit's target and vets every address against its AddressPolicy; a literal
  // address is vetted without any query. Errors: name_not_found, dns_failed, dns_timeout (side
  // upstream); address_refused (side client) naming the class and the --allow-private that would
  // admit it. `permit` must outlive the await.
  virtual Awaitable<Result<VettedAddresses>> resolve(
      const Permit& permit, std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace nono::dns
