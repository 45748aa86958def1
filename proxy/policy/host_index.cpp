#include "proxy/policy/host_index.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace nono::policy {
namespace {

bool before(const std::pair<Port, HostIndex::Entry>& element, Port port) {
  return element.first < port;
}

}  // namespace

std::array<char, 16> HostIndex::masked(const IpAddress& address, unsigned bits) {
  std::array<char, 16> kept{};
  const unsigned whole = bits / 8;
  std::memcpy(kept.data(), address.bytes().data(), whole);
  if (whole < kept.size()) {
    kept[whole] = static_cast<char>(address.bytes()[whole] & (0xff00U >> bits % 8));
  }
  return kept;
}

HostProbe::HostProbe(const Host& host, const HostIndex* soon) : host_(host) {
  if (!host.is_name()) return;
  std::string_view name = host.name().text();
  hash_ = FlatTable::hash(name);
  if (soon != nullptr) {
    soon->exact_.prefetch(hash_);
    soon->below_.prefetch(hash_);  // for find_below()
  }
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos && parents_ < parents_max;
       dot = name.find('.')) {
    name.remove_prefix(dot + 1);
    const std::uint64_t hash = FlatTable::hash(name);
    if (soon != nullptr) soon->below_.prefetch(hash);
    parent_[parents_++] = Parent{name, hash};
  }
}

std::pair<HostIndex::Entry, std::optional<Port>> HostIndex::Ports::find(Port port) const {
  const auto found = std::lower_bound(by_port.begin(), by_port.end(), port, before);
  if (found != by_port.end() && found->first == port) return {found->second, port};
  return {any, std::nullopt};
}

HostIndex::Entry& HostIndex::Ports::place(std::optional<Port> port) {
  if (!port) return any;
  auto at = std::lower_bound(by_port.begin(), by_port.end(), *port, before);
  if (at == by_port.end() || at->first != *port) at = by_port.insert(at, {*port, no_entry});
  return at->second;
}

template <class Visit>
bool HostIndex::walk_prefixes(const std::vector<Prefixes>& prefixes, const IpAddress& address,
                              unsigned& probes, Visit& visit) const {
  for (const Prefixes& prefix : prefixes) {
    ++probes;
    const std::array<char, 16> octets = masked(address, prefix.bits);
    const std::string_view key(octets.data(), octets.size());
    const std::uint32_t found = prefix.networks.find(key, FlatTable::hash(key));
    if (found != FlatTable::no_value && visit(ports_[found], Match{})) return true;
  }
  return false;
}

template <class Visit>
unsigned HostIndex::walk(const HostProbe& probe, Visit visit) const {
  unsigned probes = 0;
  if (!probe.host_.is_name()) {
    const IpAddress& address = probe.host_.address();
    walk_prefixes(address.is_v4() ? v4_ : v6_, address, probes, visit);
    return probes;
  }
  std::string_view name = probe.host_.name().text();
  const auto visit_in = [&](const FlatTable& table, std::uint64_t hash, bool below) {
    ++probes;
    const std::uint32_t found = table.find(name, hash);
    return found != FlatTable::no_value && visit(ports_[found], Match{name, below});
  };
  if (visit_in(exact_, probe.hash_, false) || below_.empty()) return probes;
  std::size_t depth = 0;
  for (; depth < probe.parents_; ++depth) {
    name = probe.parent_[depth].name;
    if (visit_in(below_, probe.parent_[depth].hash, true)) return probes;
  }
  if (depth < HostProbe::parents_max) return probes;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    name.remove_prefix(dot + 1);
    if (visit_in(below_, FlatTable::hash(name), true)) return probes;
  }
  return probes;
}

HostIndex::Found HostIndex::find(const HostProbe& probe, Port port) const {
  Found found;
  found.probes = walk(probe, [&](const Ports& ports, const Match& match) {
    const auto [entry, placed] = ports.find(port);
    const bool other = entry == no_entry;
    if (other && (found.other_port != no_entry || ports.by_port.empty())) return false;
    found.name = match.name;
    found.below = match.below;
    found.port = other ? ports.by_port.front().first : placed;
    (other ? found.other_port : found.entry) = other ? ports.by_port.front().second : entry;
    return !other;
  });
  return found;
}

HostIndex::Found HostIndex::find_below(const HostName& name, Port port) const {
  Found found;
  const std::uint32_t place = below_.find(name.text(), FlatTable::hash(name.text()));
  if (place == FlatTable::no_value) return found;
  found.name = name.text();
  found.below = true;
  std::tie(found.entry, found.port) = ports_[place].find(port);
  return found;
}

std::vector<HostIndex::Entry> HostIndex::find_all(const HostProbe& probe, Port port) const {
  std::vector<Entry> entries;
  walk(probe, [&](const Ports& ports, const Match&) {
    const Entry entry = ports.find(port).first;
    if (entry != no_entry) entries.push_back(entry);
    if (ports.any != no_entry && ports.any != entry) entries.push_back(ports.any);
    return false;
  });
  return entries;
}

std::vector<std::optional<Port>> HostIndex::ports_of(const Host& host) const {
  std::vector<std::optional<Port>> found;
  walk(HostProbe(host), [&](const Ports& ports, const Match&) {
    for (const auto& element : ports.by_port) found.emplace_back(element.first);
    if (ports.any != no_entry) found.emplace_back(std::nullopt);
    return false;
  });
  return found;
}

}  // namespace nono::policy
