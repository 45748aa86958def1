#include "dns/ares_resolver.hpp"

#include <fmt/format.h>
#include <array>
#include <optional>
#include <unordered_map>

#include "dns/cache.hpp"
#include "dns/filter.hpp"
#include "dns/hosts_file.hpp"
#include "dns/lookup.hpp"

namespace nono::dns {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

// What this machine says itself may change at any time, and is asked for again soon.
constexpr std::chrono::seconds local_ttl{5};

// localhost and every name under it (RFC 6761 6.3).
bool is_localhost(std::string_view name) {
  constexpr std::string_view suffix = "localhost";
  if (!name.ends_with(suffix)) return false;
  return name.size() == suffix.size() || name[name.size() - suffix.size() - 1] == '.';
}

std::vector<IpAddress> loopback() {
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return {IpAddress::v6(one), IpAddress::v4({127, 0, 0, 1})};
}

// The resolver's state. Lookups outlive waiters and call back into it, so it is held by shared_ptr.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Executor executor, const ResolverOptions& options)
      : executor_(executor),
        options_(options),
        hosts_(options.hosts_file),
        cache_(CacheLimits{options.cache_entries_max, options.ttl_floor, options.ttl_ceiling,
                           options.negative_ttl}) {}

  void close() {
    options_.on_resolved = nullptr;  // whoever is told may go too
    for (auto& [name, running] : lookups_) running.lookup->abandon();
    lookups_.clear();
    servers_.reset();
  }

  // What can be said without asking anybody; none where the DNS must be asked.
  std::optional<Lookup::Answer> known(const HostName& name, TimePoint now, AnsweredBy& by) {
    by = AnsweredBy::hosts_file;
    if (is_localhost(name.text())) return Lookup::Found{loopback(), local_ttl};
    if (!options_.hosts_file.empty()) {
      const std::vector<IpAddress>* listed = hosts_.find(name, now);
      if (listed != nullptr) return Lookup::Found{interleave_families(*listed), local_ttl};
    }
    by = AnsweredBy::cache;
    const Cache::Entry* cached = cache_.entry(name, now);
    if (cached == nullptr) return std::nullopt;
    if (cached->addresses.empty()) return tl::unexpected<Error>(no_address_error(name));
    return Lookup::Found{cached->addresses,
                         std::chrono::floor<std::chrono::seconds>(cached->expires - now)};
  }

  Result<VettedAddresses> tell(AnsweredBy by, Result<VettedAddresses> result) {
    if (options_.on_resolved) options_.on_resolved(by, result ? nullptr : &result.error());
    return result;
  }

  bool known_missing(const HostName& name, TimePoint now) {
    const Cache::Entry* cached = cache_.entry(name, now);
    return cached != nullptr && cached->missing;
  }

  // The lookup of `name` in flight, begun now if there is none.
  Result<std::shared_ptr<Lookup>> lookup(const HostName& name, Asker asker, AnsweredBy& by) {
    auto running = lookups_.find(name);
    by = running != lookups_.end() ? AnsweredBy::other_lookup : AnsweredBy::asked;
    if (running != lookups_.end()) return running->second.lookup;
    const bool all_taken = lookups_.size() >= options_.lookups_max;
    const bool half_taken = of_dns_clients_ >= options_.lookups_max / 2;
    if (all_taken || (asker == Asker::dns_client && half_taken)) {
      return fail(ErrorCode::limit,
                  fmt::format("{} names are being looked up already", lookups_.size()),
                  "try again");
    }
    Result<std::shared_ptr<Servers>> servers = current_servers();
    if (!servers) return tl::unexpected<Error>(servers.error());
    auto begun = std::make_shared<Lookup>(executor_, name, *servers);
    lookups_.emplace(name, Running{begun, asker});
    if (asker == Asker::dns_client) ++of_dns_clients_;
    begun->start([weak = weak_from_this(), name](std::optional<Lookup::Finding> finding) {
      std::shared_ptr<Core> self = weak.lock();
      if (self) self->settle(name, std::move(finding));
    });
    return begun;
  }

 private:
  struct Running {
    std::shared_ptr<Lookup> lookup;
    Asker begun_for;
  };

  void settle(const HostName& name, std::optional<Lookup::Finding> finding) {
    if (const auto ended = lookups_.find(name); ended != lookups_.end()) {
      if (ended->second.begun_for == Asker::dns_client) --of_dns_clients_;
      lookups_.erase(ended);
    }
    if (!finding) return;
    TimePoint now = std::chrono::steady_clock::now();
    if (finding->addresses.empty()) return cache_.put_negative(name, now, finding->missing);
    cache_.put(name, std::move(finding->addresses), finding->ttl, now);
  }

  // Made at the first lookup. The system's own servers change when a machine changes networks, so
  // resolv.conf is watched; lookups in flight stay with the servers they have.
  Result<std::shared_ptr<Servers>> current_servers() {
    std::vector<HostPort> addresses = options_.servers;
    if (addresses.empty()) {
      FileVersion version = FileVersion::of(options_.resolv_conf);
      if (servers_ && version == servers_version_) return servers_;
      Result<std::vector<HostPort>> listed = system_servers(options_.resolv_conf);
      if (!listed) return tl::unexpected<Error>(listed.error());
      addresses = std::move(*listed);
      servers_version_ = version;
    } else if (servers_) {
      return servers_;
    }
    servers_ = std::make_shared<Servers>(executor_, std::move(addresses), options_.query_timeout,
                                         options_.tries);
    return servers_;
  }

  Executor executor_;
  ResolverOptions options_;
  HostsFile hosts_;
  Cache cache_;
  std::shared_ptr<Servers> servers_;
  FileVersion servers_version_;
  std::unordered_map<HostName, Running> lookups_;  // in flight
  std::size_t of_dns_clients_ = 0;                 // of them
};

class AresResolver final : public Resolver {
 public:
  AresResolver(Executor executor, const ResolverOptions& options)
      : core_(std::make_shared<Core>(executor, options)) {}
  ~AresResolver() override { core_->close(); }

  Awaitable<Result<VettedAddresses>> resolve(const Permit& permit, TimePoint deadline,
                                             Asker asker) override {
    const Host& host = permit.target().host;
    if (!host.is_name()) {
      std::vector<IpAddress> literal(1, host.address());
      co_return Filter::vet(permit, literal);
    }
    std::shared_ptr<Core> core = core_;  // the resolver may go while this waits
    TimePoint now = std::chrono::steady_clock::now();
    AnsweredBy by{};
    std::optional<Lookup::Answer> answer = core->known(host.name(), now, by);
    if (!answer) {
      Result<std::shared_ptr<Lookup>> lookup = core->lookup(host.name(), asker, by);
      if (!lookup) co_return core->tell(by, tl::unexpected<Error>(lookup.error()));
      answer = co_await Lookup::wait(std::move(*lookup), deadline);
    }
    if (!*answer) co_return core->tell(by, tl::unexpected<Error>(std::move(answer->error())));
    const Lookup::Found& found = **answer;
    co_return core->tell(by, Filter::vet(permit, found.addresses, found.ttl));
  }

  bool known_missing(const HostName& name) override {
    return core_->known_missing(name, std::chrono::steady_clock::now());
  }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Result<std::unique_ptr<Resolver>> make_resolver(Executor executor, const ResolverOptions& options) {
  for (const HostPort& server : options.servers) {
    if (server.host.is_name()) {
      return fail(ErrorCode::bad_input,
                  fmt::format("the DNS server {} is a name, and a name would need a DNS server",
                              server.to_string()),
                  "give its address: --dns-server ADDR[:PORT]");
    }
  }
  return std::unique_ptr<Resolver>(std::make_unique<AresResolver>(executor, options));
}

}  // namespace nono::dns
