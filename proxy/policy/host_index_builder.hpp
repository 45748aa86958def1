#pragma once
// HostIndexBuilder: gathers patterns and ports, and makes the HostIndex of them.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "config/base/sip_hash.hpp"
#include "proxy/policy/host_index.hpp"

namespace nono::policy {

class HostIndexBuilder {
 public:
  using Entry = HostIndex::Entry;

  // The place of this pattern and port (none: every port) to write to; HostIndex::no_entry in a new
  // one. Valid until the next call.
  Entry& place(const HostPattern& pattern, std::optional<Port> port);

  // The index, with `change(pattern, port, entry)` in place of each entry; asked in no particular
  // order. `pattern` is "name" or "*.name", empty for addresses. The builder is empty afterwards.
  using Change =
      std::function<Entry(std::string_view pattern, std::optional<Port> port, Entry entry)>;
  HostIndex finish(const SipKey& key, const Change& change);
  HostIndex finish(const SipKey& key);  // with the entries as they are

 private:
  using Ports = HostIndex::Ports;
  using Texts = std::unordered_map<std::string, Ports>;
  using Ranges = std::map<unsigned, Texts, std::greater<>>;  // by prefix length, longest first

  Texts exact_;  // name
  Texts below_;  // suffix
  Ranges v4_, v6_;
};

}  // namespace nono::policy
