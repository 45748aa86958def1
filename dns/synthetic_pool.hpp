#pragma once
// Made-up addresses that stand for names: 198.18.0.5 is "git.example.org" as long as anybody may
// still connect to it. Nothing is looked up to make one, so names carry nothing out.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "config/base/host.hpp"

namespace nono::dns {

struct SyntheticOptions {
  // 198.18.0.0/15 is set aside for benchmarks and routed nowhere (RFC 2544). The first and the last
  // address are not given out.
  Cidr v4_range{IpAddress::v4({198, 18, 0, 0}), 15};
  // Where set, names have an IPv6 address too, out of this /96 or longer. None: AAAA is empty.
  std::optional<Cidr> v6_range;
  std::size_t names_max = 16'384;  // and never more than the ranges hold
  std::chrono::seconds ttl{5};     // told to clients
  // How long after its TTL ran out an address still belongs to its name: programs remember longer
  // than they are told.
  std::chrono::seconds grace{120};
};

// The map between names and made-up addresses. A name keeps its address while it is asked for; an
// address goes to another name only when nobody holds it, its TTL and grace are over, and it was
// not used for longer than any other. Used on one thread.
class SyntheticPool {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Addresses {
    IpAddress v4;
    std::optional<IpAddress> v6;
  };

  // Keeps an address bound to its name: held by each connection that came to it. May outlive the
  // pool.
  class Lease {
   public:
    const HostName& name() const;
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();

   private:
    friend class SyntheticPool;
    struct Shared;
    Lease(std::shared_ptr<Shared> shared, std::uint32_t slot);
    void release();
    std::shared_ptr<Shared> shared_;
    std::uint32_t slot_;
  };

  // Errors: bad_input, where a range cannot be used: a /31 or longer, an IPv6 range for v4_range.
  static Result<std::unique_ptr<SyntheticPool>> make(const SyntheticOptions& options);
  ~SyntheticPool();
  SyntheticPool(const SyntheticPool&) = delete;
  SyntheticPool& operator=(const SyntheticPool&) = delete;

  // The addresses of `name`, good for the TTL from `now`. None where every address is in use.
  std::optional<Addresses> give(const HostName& name, TimePoint now);
  // The name that `address` stands for, bound for as long as the lease lives. None for addresses
  // that were not given out. IPv4-mapped addresses count as the IPv4 address inside.
  std::optional<Lease> acquire(const IpAddress& address, TimePoint now);
  std::optional<HostName> name_of(const IpAddress& address) const;
  // True for every address of the ranges, given out or not.
  bool owns(const IpAddress& address) const;

  std::size_t size() const;
  std::chrono::seconds ttl() const;

 private:
  explicit SyntheticPool(std::shared_ptr<Lease::Shared> shared);
  std::shared_ptr<Lease::Shared> shared_;
};

}  // namespace nono::dns
