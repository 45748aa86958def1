#include "proxy/policy/host_index.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

namespace nono::policy {
namespace {

using Octets = std::array<char, 16>;

Octets masked(const std::array<std::uint8_t, 16>& octets, unsigned bits) {
  Octets kept{};
  const unsigned whole = bits / 8;
  std::memcpy(kept.data(), octets.data(), whole);
  if (whole < kept.size()) kept[whole] = static_cast<char>(octets[whole] & (0xff00U >> bits % 8));
  return kept;
}

std::string_view text_of(const Octets& octets) {
  return {octets.data(), octets.size()};
}

bool before(const std::pair<Port, HostIndex::Entry>& element, Port port) {
  return element.first < port;
}

}  // namespace

HostProbe::HostProbe(const Host& host) : host_(host) {
  if (!host.is_name()) return;
  std::string_view name = host.name().text();
  hash_ = FlatTable::hash(name);
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos && parents_ < parents_max;
       dot = name.find('.')) {
    name.remove_prefix(dot + 1);
    parent_[parents_++] = Parent{name, FlatTable::hash(name)};
  }
}

std::pair<HostIndex::Entry, std::optional<Port>> HostIndex::Ports::find(Port port) const {
  const auto found = std::lower_bound(by_port.begin(), by_port.end(), port, before);
  if (found != by_port.end() && found->first == port) return {found->second, port};
  return {any, std::nullopt};
}

FlatTable& HostIndex::table_of(const HostPattern& pattern) {
  if (std::holds_alternative<HostName>(pattern)) return exact_;
  if (std::holds_alternative<NamesBelow>(pattern)) return below_;
  const Cidr& range = std::get<Cidr>(pattern);
  std::vector<Prefixes>& prefixes = range.address().is_v4() ? v4_ : v6_;
  auto at = std::find_if(prefixes.begin(), prefixes.end(),
                         [&](const Prefixes& p) { return p.bits <= range.prefix_bits(); });
  if (at == prefixes.end() || at->bits != range.prefix_bits()) {
    at = prefixes.insert(at, Prefixes{range.prefix_bits(), {}});
  }
  return at->networks;
}

HostIndex::Entry& HostIndex::place(const HostPattern& pattern, std::optional<Port> port) {
  std::string key;
  if (const auto* name = std::get_if<HostName>(&pattern)) key = name->text();
  if (const auto* below = std::get_if<NamesBelow>(&pattern)) key = below->suffix.text();
  if (const auto* range = std::get_if<Cidr>(&pattern)) {
    key = text_of(masked(range->address().bytes(), range->prefix_bits()));
  }
  std::uint32_t& value = table_of(pattern).insert(key);
  if (value == FlatTable::no_value) {
    value = static_cast<std::uint32_t>(ports_.size());
    ports_.emplace_back();
  }
  Ports& ports = ports_[value];
  if (!port) return ports.any;
  auto at = std::lower_bound(ports.by_port.begin(), ports.by_port.end(), *port, before);
  if (at == ports.by_port.end() || at->first != *port) {
    at = ports.by_port.insert(at, {*port, no_entry});
  }
  return at->second;
}

void HostIndex::finish(const Change& change) {
  std::map<Ports, std::uint32_t> known;
  std::vector<Ports> shared;
  const auto finish_table = [&](FlatTable& table, std::string_view prefix, bool names) {
    table.for_each([&](std::string_view key, std::uint32_t& value) {
      const std::string pattern = names ? std::string(prefix) + std::string(key) : std::string();
      Ports& ports = ports_[value];
      for (auto& [port, entry] : ports.by_port) entry = change(pattern, port, entry);
      if (ports.any != no_entry) ports.any = change(pattern, std::nullopt, ports.any);
      const auto next = static_cast<std::uint32_t>(shared.size());
      const auto [place, fresh] = known.emplace(ports, next);
      if (fresh) shared.push_back(std::move(ports));
      value = place->second;
    });
    table.shrink();
  };
  finish_table(exact_, "", true);
  finish_table(below_, "*.", true);
  for (std::vector<Prefixes>* family : {&v4_, &v6_}) {
    for (Prefixes& prefixes : *family) finish_table(prefixes.networks, "", false);
  }
  ports_ = std::move(shared);
}

template <class Visit>
bool HostIndex::walk_prefixes(const std::vector<Prefixes>& prefixes, const IpAddress& address,
                              unsigned& probes, Visit& visit) const {
  for (const Prefixes& prefix : prefixes) {
    ++probes;
    const Octets key = masked(address.bytes(), prefix.bits);
    const std::uint32_t found = prefix.networks.find(text_of(key), FlatTable::hash(text_of(key)));
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

void HostIndex::prefetch(const HostProbe& probe) const {
  if (!probe.host_.is_name()) return;
  exact_.prefetch(probe.hash_);
  for (std::size_t i = 0; i < probe.parents_; ++i) below_.prefetch(probe.parent_[i].hash);
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
