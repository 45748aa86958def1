#pragma once
// The resolver: from a Permit to addresses that may be dialled.

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "config/base/permit.hpp"
#include "proxy/net/asio.hpp"

namespace nono::dns {

// Addresses that passed the filter, in the order in which to try them. Only the filter makes one
// (dns/filter.hpp), so what is dialled is what was vetted.
class VettedAddresses {
 public:
  const std::vector<IpAddress>& addresses() const { return addresses_; }
  // How long they may be remembered, by whoever hands them on; zero for literal addresses.
  std::chrono::seconds ttl() const { return ttl_; }
  // Where only observe mode lets these addresses be dialled: what would have refused them, for the
  // audit record. Null otherwise.
  const Refusal* set_aside() const { return set_aside_.get(); }

 private:
  friend class Filter;
  VettedAddresses(std::vector<IpAddress> addresses, std::chrono::seconds ttl)
      : addresses_(std::move(addresses)), ttl_(ttl) {}
  std::vector<IpAddress> addresses_;
  std::chrono::seconds ttl_;
  std::shared_ptr<const Refusal> set_aside_;
};

// Where an answer came from: without asking, with an equal question that was on its way, or by
// asking a server.
enum class AnsweredBy : std::uint8_t { hosts_file, cache, other_lookup, asked };

// Who asks, and so how much of what a resolver may do at once is theirs. Whoever speaks DNS to us
// has shown no token, and must leave room for those who have.
enum class Asker : std::uint8_t { proxy, dns_client };

// One per io_context; used on that context's thread only.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // Resolves the permit's target and vets every address against its AddressPolicy; a literal
  // address is vetted without any query. Errors: name_not_found, dns_failed, dns_timeout (side
  // upstream); address_refused (side client) naming the class and the --allow-private that would
  // admit it. `permit` must outlive the await.
  virtual Awaitable<Result<VettedAddresses>> resolve(const Permit& permit,
                                                     std::chrono::steady_clock::time_point deadline,
                                                     Asker asker = Asker::proxy) = 0;
  // After name_not_found: true where the DNS said that the name itself does not exist (NXDOMAIN),
  // as long as that is remembered; false where it only has no address.
  virtual bool known_missing(const HostName& /*name*/) { return false; }
};

}  // namespace nono::dns
