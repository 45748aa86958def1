#include "proxy/policy/host_index.hpp"

#include <algorithm>

namespace nono::policy {
namespace {

std::array<std::uint8_t, 16> masked(std::array<std::uint8_t, 16> octets, unsigned bits) {
  for (unsigned i = 0; i < octets.size(); ++i) {
    const unsigned kept = bits > 8 * i ? std::min(bits - 8 * i, 8U) : 0;
    octets[i] = static_cast<std::uint8_t>(octets[i] & (0xff00U >> kept));
  }
  return octets;
}

bool before(const std::pair<Port, HostIndex::Entry>& element, Port port) {
  return element.first < port;
}

}  // namespace

std::size_t HostIndex::OctetsHash::operator()(const Octets& octets) const {
  std::array<char, 16> text{};
  std::copy(octets.begin(), octets.end(), text.begin());
  return std::hash<std::string_view>{}({text.data(), text.size()});
}

HostIndex::Entry HostIndex::Ports::find(Port port) const {
  const auto found = std::lower_bound(by_port.begin(), by_port.end(), port, before);
  return found != by_port.end() && found->first == port ? found->second : any;
}

HostIndex::Ports& HostIndex::ports_of(const HostPattern& pattern) {
  if (const auto* name = std::get_if<HostName>(&pattern)) return exact_[name->text()];
  if (const auto* below = std::get_if<NamesBelow>(&pattern)) return below_[below->suffix.text()];
  const Cidr& range = std::get<Cidr>(pattern);
  std::vector<Prefixes>& prefixes = range.address().is_v4() ? v4_ : v6_;
  auto at = std::find_if(prefixes.begin(), prefixes.end(),
                         [&](const Prefixes& p) { return p.bits <= range.prefix_bits(); });
  if (at == prefixes.end() || at->bits != range.prefix_bits()) {
    at = prefixes.insert(at, Prefixes{range.prefix_bits(), {}});
  }
  return at->networks[masked(range.address().bytes(), range.prefix_bits())];
}

HostIndex::Entry& HostIndex::place(const HostPattern& pattern, std::optional<Port> port) {
  Ports& ports = ports_of(pattern);
  if (!port) return ports.any;
  auto at = std::lower_bound(ports.by_port.begin(), ports.by_port.end(), *port, before);
  if (at == ports.by_port.end() || at->first != *port) {
    at = ports.by_port.insert(at, {*port, no_entry});
  }
  return at->second;
}

template <class Visit>
bool HostIndex::walk_prefixes(const std::vector<Prefixes>& prefixes, const Octets& address,
                              unsigned& probes, Visit& visit) {
  for (const Prefixes& prefix : prefixes) {
    ++probes;
    const auto found = prefix.networks.find(masked(address, prefix.bits));
    if (found != prefix.networks.end() && visit(found->second)) return true;
  }
  return false;
}

template <class Visit>
unsigned HostIndex::walk(const Host& host, Visit visit) const {
  unsigned probes = 0;
  if (!host.is_name()) {
    // A mapped address is its IPv4 address; a rule may also name a range around its IPv6 form.
    const IpAddress address = host.address().unmapped();
    if (address.is_v4() && walk_prefixes(v4_, address.bytes(), probes, visit)) return probes;
    if (!host.address().is_v4()) walk_prefixes(v6_, host.address().bytes(), probes, visit);
    return probes;
  }
  std::string_view name = host.name().text();
  ++probes;
  if (const auto found = exact_.find(name); found != exact_.end() && visit(found->second)) {
    return probes;
  }
  if (below_.empty()) return probes;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    name.remove_prefix(dot + 1);
    ++probes;
    if (const auto found = below_.find(name); found != below_.end() && visit(found->second)) {
      return probes;
    }
  }
  return probes;
}

HostIndex::Found HostIndex::find(const Host& host, Port port) const {
  Found found;
  found.probes = walk(host, [&](const Ports& ports) {
    found.entry = ports.find(port);
    if (found.entry == no_entry && found.other_port == no_entry && !ports.by_port.empty()) {
      found.other_port = ports.by_port.front().second;
    }
    return found.entry != no_entry;
  });
  return found;
}

std::vector<HostIndex::Entry> HostIndex::find_all(const Host& host, Port port) const {
  std::vector<Entry> entries;
  walk(host, [&](const Ports& ports) {
    const Entry entry = ports.find(port);
    if (entry != no_entry) entries.push_back(entry);
    if (ports.any != no_entry && ports.any != entry) entries.push_back(ports.any);
    return false;
  });
  return entries;
}

}  // namespace nono::policy
