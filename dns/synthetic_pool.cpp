#include "dns/synthetic_pool.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <list>
#include <vector>

#include "dns/keyed_hash.hpp"

namespace nono::dns {
namespace {

std::uint32_t low_word(const IpAddress& address) {
  const std::size_t at = address.is_v4() ? 0 : 12;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | address.bytes()[at + i];
  return value;
}

IpAddress plus(const IpAddress& base, std::uint32_t offset) {
  const std::uint32_t value = low_word(base) + offset;
  std::array<std::uint8_t, 16> bytes = base.bytes();
  const std::size_t at = base.is_v4() ? 0 : 12;
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[at + i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  }
  return base.is_v4() ? IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]})
                      : IpAddress::v6(bytes);
}

// How many names a range has room for: neither its first address nor its last is used.
std::uint64_t room(const Cidr& range) {
  const unsigned bits = (range.address().is_v4() ? 32U : 128U) - range.prefix_bits();
  if (bits < 2) return 0;
  return bits >= 32 ? 0xfffffffeULL : (std::uint64_t{1} << bits) - 2;
}

Error unusable(const Cidr& range, std::string_view why) {
  return Error{
      Side::self, ErrorCode::bad_input,
      fmt::format("{} cannot be the range of made-up addresses: {}", range.to_string(), why)};
}

}  // namespace

struct SyntheticPool::Lease::Shared {
  struct Slot {
    explicit Slot(HostName its_name) : name(std::move(its_name)) {}
    HostName name;
    TimePoint bound_until{};
    std::size_t leases = 0;
    std::list<std::uint32_t>::iterator place;  // in `order`
  };

  explicit Shared(const SyntheticOptions& its_options, std::size_t its_slots_max)
      : options(its_options), slots_max(its_slots_max) {}

  std::optional<std::uint32_t> slot_of(const IpAddress& address) const;
  std::optional<std::uint32_t> slot_for(const HostName& name, TimePoint now);
  // Binds the slot to its name from now on.
  void touch(Slot& slot, TimePoint now) {
    slot.bound_until = now + options.ttl + options.grace;
    order.splice(order.begin(), order, slot.place);
  }

  SyntheticOptions options;
  std::size_t slots_max;
  std::vector<Slot> slots;         // slot i stands for address i + 1 of each range
  std::list<std::uint32_t> order;  // most recently used first
  std::unordered_map<std::string, std::uint32_t, KeyedHash> by_name;
};

std::optional<std::uint32_t> SyntheticPool::Lease::Shared::slot_of(const IpAddress& address) const {
  const IpAddress plain = address.unmapped();
  const Cidr* range = nullptr;
  if (options.v4_range.contains(plain)) range = &options.v4_range;
  if (options.v6_range && options.v6_range->contains(plain)) range = &*options.v6_range;
  if (range == nullptr) return std::nullopt;
  const std::uint32_t offset = low_word(plain) - low_word(range->address());
  if (offset == 0 || offset > slots.size()) return std::nullopt;
  return offset - 1;
}

std::optional<std::uint32_t> SyntheticPool::Lease::Shared::slot_for(const HostName& name,
                                                                    TimePoint now) {
  if (auto known = by_name.find(name.text()); known != by_name.end()) return known->second;
  if (slots.size() < slots_max) {
    const auto fresh = static_cast<std::uint32_t>(slots.size());
    slots.emplace_back(name);
    slots.back().place = order.insert(order.begin(), fresh);
    by_name.emplace(name.text(), fresh);
    return fresh;
  }
  // The oldest first. All have the same TTL, so the first that is still bound by time ends the
  // search; one that a connection holds becomes the newest, and is not looked at again soon.
  while (!order.empty()) {
    const std::uint32_t oldest = order.back();
    Slot& slot = slots[oldest];
    if (slot.bound_until > now) return std::nullopt;
    if (slot.leases == 0) {
      by_name.erase(slot.name.text());
      slot.name = name;
      by_name.emplace(name.text(), oldest);
      return oldest;
    }
    touch(slot, now);
  }
  return std::nullopt;
}

SyntheticPool::Lease::Lease(std::shared_ptr<Shared> shared, std::uint32_t slot)
    : shared_(std::move(shared)), slot_(slot) {
  ++shared_->slots[slot_].leases;
}

SyntheticPool::Lease::Lease(Lease&& other) noexcept
    : shared_(std::move(other.shared_)), slot_(other.slot_) {}

SyntheticPool::Lease& SyntheticPool::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    shared_ = std::move(other.shared_);
    slot_ = other.slot_;
  }
  return *this;
}

SyntheticPool::Lease::~Lease() {
  release();
}

void SyntheticPool::Lease::release() {
  if (shared_) --shared_->slots[slot_].leases;
  shared_.reset();
}

const HostName& SyntheticPool::Lease::name() const {
  return shared_->slots[slot_].name;
}

Result<std::unique_ptr<SyntheticPool>> SyntheticPool::make(const SyntheticOptions& options) {
  if (!options.v4_range.address().is_v4()) {
    return fail(unusable(options.v4_range, "it is no IPv4 range"));
  }
  std::uint64_t names = room(options.v4_range);
  if (names == 0) return fail(unusable(options.v4_range, "it is too small"));
  if (options.v6_range) {
    if (options.v6_range->address().is_v4() || options.v6_range->prefix_bits() < 96) {
      return fail(unusable(*options.v6_range, "it must be an IPv6 range of /96 or longer"));
    }
    if (room(*options.v6_range) == 0) return fail(unusable(*options.v6_range, "it is too small"));
    names = std::min(names, room(*options.v6_range));
  }
  names = std::min<std::uint64_t>(names, options.names_max);
  auto shared = std::make_shared<Lease::Shared>(options, static_cast<std::size_t>(names));
  return std::unique_ptr<SyntheticPool>(new SyntheticPool(std::move(shared)));
}

SyntheticPool::SyntheticPool(std::shared_ptr<Lease::Shared> shared) : shared_(std::move(shared)) {}
SyntheticPool::~SyntheticPool() = default;

std::optional<SyntheticPool::Addresses> SyntheticPool::give(const HostName& name, TimePoint now) {
  const std::optional<std::uint32_t> index = shared_->slot_for(name, now);
  if (!index) return std::nullopt;
  const SyntheticOptions& options = shared_->options;
  shared_->touch(shared_->slots[*index], now);
  Addresses addresses;
  addresses.v4 = plus(options.v4_range.address(), *index + 1);
  if (options.v6_range) addresses.v6 = plus(options.v6_range->address(), *index + 1);
  return addresses;
}

std::optional<SyntheticPool::Lease> SyntheticPool::acquire(const IpAddress& address,
                                                           TimePoint now) {
  const std::optional<std::uint32_t> index = shared_->slot_of(address);
  if (!index) return std::nullopt;
  shared_->touch(shared_->slots[*index], now);  // whoever connects may do so again without asking
  return Lease(shared_, *index);
}

std::optional<HostName> SyntheticPool::name_of(const IpAddress& address) const {
  const std::optional<std::uint32_t> index = shared_->slot_of(address);
  if (!index) return std::nullopt;
  return shared_->slots[*index].name;
}

bool SyntheticPool::owns(const IpAddress& address) const {
  const IpAddress plain = address.unmapped();
  const SyntheticOptions& options = shared_->options;
  return options.v4_range.contains(plain) ||
         (options.v6_range && options.v6_range->contains(plain));
}

std::size_t SyntheticPool::size() const {
  return shared_->slots.size();
}

std::chrono::seconds SyntheticPool::ttl() const {
  return shared_->options.ttl;
}

}  // namespace nono::dns
