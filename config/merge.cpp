#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

#include "config/resolve.hpp"

namespace nono {
namespace {

// Appends what is not there yet. `same` says what counts as the same entry.
template <class T, class Same>
void append(std::vector<T>& base, std::vector<T> over, Same same) {
  for (T& value : over) {
    bool known = std::any_of(base.begin(), base.end(), [&](const T& b) { return same(b, value); });
    if (!known) base.push_back(std::move(value));
  }
}

template <class T>
void append(std::vector<T>& base, std::vector<T> over) {
  append(base, std::move(over), [](const T& a, const T& b) { return a == b; });
}

template <class T>
void replace(std::optional<T>& base, std::optional<T>& over) {
  if (over) base = std::move(over);
}

bool same_path(const PathRule& a, const PathRule& b) {
  return a.path == b.path && a.access == b.access && a.file == b.file;
}

bool same_port(const PortRule& a, const PortRule& b) {
  return a.port == b.port;
}

// As append(), but looked up instead of searched: a list of hosts may hold a hundred thousand. A
// rule with endpoints or options is never dropped for one without, nor the other way round.
void append_hosts(std::vector<HostRule>& base, std::vector<HostRule> over) {
  const auto key = [](const HostRule& rule) {
    return rule.text + (rule.any_sni ? " any" : " own") + (rule.refuse_ech ? " refuse" : "");
  };
  std::unordered_set<std::string> known;
  for (const HostRule& rule : base) {
    if (rule.endpoints.empty()) known.insert(key(rule));
  }
  for (HostRule& rule : over) {
    if (!rule.endpoints.empty() || known.insert(key(rule)).second) base.push_back(std::move(rule));
  }
}

void merge_network(Settings& base, Settings& over) {
  if (over.block_network && !base.block_network) base.block_origin = over.block_origin;
  // A flag that blocks is stronger than a profile that does.
  if (over.block_network && over.block_origin.text.empty()) base.block_origin = {};
  base.block_network = base.block_network || over.block_network;
  if (over.network_profile) base.network_profile_origin = over.network_profile_origin;
  replace(base.observe, over.observe);
  replace(base.network_profile, over.network_profile);
  append_hosts(base.allow_hosts, std::move(over.allow_hosts));
  append_hosts(base.deny_hosts, std::move(over.deny_hosts));
  append(base.allow_private, std::move(over.allow_private));
  append(base.dns_servers, std::move(over.dns_servers));
  append(base.upstream_ca_files, std::move(over.upstream_ca_files));
  replace(base.upstream_proxy, over.upstream_proxy);
  append(base.upstream_bypass, std::move(over.upstream_bypass));
  replace(base.proxy_port, over.proxy_port);
  append(base.open_ports, std::move(over.open_ports), same_port);
  append(base.listen_ports, std::move(over.listen_ports), same_port);
  append(base.allow_endpoints, std::move(over.allow_endpoints));
}

void merge_credentials(Settings& base, Settings& over) {
  if (over.clear_credentials) base.credentials.clear();
  base.clear_credentials = base.clear_credentials || over.clear_credentials;
  for (CredentialChoice& choice : over.credentials) {
    auto known = std::find_if(base.credentials.begin(), base.credentials.end(),
                              [&](const CredentialChoice& c) { return c.name == choice.name; });
    if (known == base.credentials.end()) {
      base.credentials.push_back(std::move(choice));
    } else if (choice.source) {
      *known = std::move(choice);
    }
  }
  for (auto& [name, route] : over.custom_credentials) {
    base.custom_credentials.insert_or_assign(name, std::move(route));
  }
}

}  // namespace

void merge(Settings& base, Settings over) {
  if (!over.name.empty()) base.name = std::move(over.name);
  if (over.workdir_access && *over.workdir_access != Access::none) {
    base.workdir_access = over.workdir_access;
  }
  append(base.include_groups, std::move(over.include_groups));
  append(base.exclude_groups, std::move(over.exclude_groups));
  append(base.paths, std::move(over.paths), same_path);
  append(base.deny_paths, std::move(over.deny_paths), same_path);
  append(base.bypass_protection, std::move(over.bypass_protection));
  append(base.unix_sockets, std::move(over.unix_sockets), same_path);
  base.unix_inside = base.unix_inside || over.unix_inside;
  merge_network(base, over);
  merge_credentials(base, over);
  if (over.allow_env) {
    if (!base.allow_env) base.allow_env.emplace();
    append(*base.allow_env, std::move(*over.allow_env));
  }
  append(base.pass_env, std::move(over.pass_env));
  append(base.deny_env, std::move(over.deny_env));
  for (auto& [name, value] : over.set_env) base.set_env.insert_or_assign(name, std::move(value));
  append(base.policy_files, std::move(over.policy_files));
  append(base.policy_links, std::move(over.policy_links));
  append(base.notes, std::move(over.notes));
}

}  // namespace nono
