#include "proxy/policy/host_index_builder.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace nono::policy {

HostIndexBuilder::Entry& HostIndexBuilder::place(const HostPattern& pattern,
                                                 std::optional<Port> port) {
  const auto ports_of = [&]() -> Ports& {
    if (const auto* name = std::get_if<HostName>(&pattern)) return exact_[name->text()];
    if (const auto* below = std::get_if<NamesBelow>(&pattern)) return below_[below->suffix.text()];
    const Cidr& range = std::get<Cidr>(pattern);
    const auto key = HostIndex::masked(range.address(), range.prefix_bits());
    Ranges& ranges = range.address().is_v4() ? v4_ : v6_;
    return ranges[range.prefix_bits()][std::string(key.data(), key.size())];
  };
  return ports_of().place(port);
}

HostIndex HostIndexBuilder::finish(const SipKey& key, const Change& change) {
  HostIndex index;
  std::map<Ports, std::uint32_t> known;
  std::string pattern;
  const auto finish_table = [&](Texts& texts, std::string_view prefix, bool names) {
    std::vector<FlatTable::Pair> pairs;
    pairs.reserve(texts.size());
    for (auto& [text, ports] : texts) {
      pattern.assign(prefix).append(names ? text : "");
      for (auto& [port, entry] : ports.by_port) entry = change(pattern, port, entry);
      if (ports.any != HostIndex::no_entry) ports.any = change(pattern, std::nullopt, ports.any);
      const auto [place, fresh] = known.try_emplace(ports, index.ports_.size());
      if (fresh) index.ports_.push_back(ports);
      pairs.emplace_back(text, place->second);
    }
    FlatTable table(pairs, key);
    texts.clear();
    return table;
  };
  index.exact_ = finish_table(exact_, "", true);
  index.below_ = finish_table(below_, "*.", true);
  const auto finish_ranges = [&](Ranges& ranges, std::vector<HostIndex::Prefixes>& to) {
    for (auto& [bits, texts] : ranges) to.push_back({bits, finish_table(texts, "", false)});
    ranges.clear();
  };
  finish_ranges(v4_, index.v4_);
  finish_ranges(v6_, index.v6_);
  return index;
}

HostIndex HostIndexBuilder::finish(const SipKey& key) {
  return finish(key, [](std::string_view, std::optional<Port>, Entry entry) { return entry; });
}

}  // namespace nono::policy
