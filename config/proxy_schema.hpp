#pragma once
// The keys of nono.yaml: those of its top level and those of one entry of `sessions`. Internal to
// config/.

#include <string>
#include <vector>

#include "config/listen.hpp"
#include "config/network_keys.hpp"
#include "config/proxy_config.hpp"
#include "config/schema.hpp"

namespace nono::document {

// A place to listen at, with where it was written.
struct ListenPlace {
  ListenAddress address;
  std::string text;
  std::string at;     // FILE:LINE:COLUMN
  std::string owner;  // "listen", "session ci"
};

// nono.yaml as it is read, before what holds between keys is checked.
struct ProxyFile {
  ProxyConfig config;
  std::vector<ListenPlace> places;
  std::vector<std::string> notes;
};

// One entry of `sessions` as it is read.
struct SessionFile {
  SessionEntry entry;
  std::vector<ListenPlace> places;
  std::vector<std::string> notes;
};

const std::vector<Key<ProxyFile>>& proxy_keys();
const std::vector<Key<SessionFile>>& session_keys();

// The list of sessions, with what each of them must be.
void read_sessions(const Field<ProxyFile>& field);

// Readers that both tables use.
std::vector<std::string> read_listen(Problems& problems, const YAML::Node& node,
                                     std::string_view key, std::vector<ListenPlace>& places);
std::optional<std::string> read_token_source(Problems& problems, const YAML::Node& node,
                                             std::string_view key);
std::optional<std::string> read_env_format(Problems& problems, const YAML::Node& node,
                                           std::string_view key);
template <class Number>
void read_count(Problems& problems, const YAML::Node& node, std::string_view key,
                std::optional<Number>& out, std::uint64_t min, std::uint64_t max) {
  std::optional<std::uint64_t> value = as_number(problems, node, key, min, max);
  if (value) out = static_cast<Number>(*value);
}

// The rows of network, credentials and custom_credentials, which fill the Settings that `of` finds.
template <class Out, Settings& (*of)(Out&)>
std::vector<Key<Out>> settings_keys() {
  using F = Field<Out>;
  return {
      {"network.mode", [](const F& f) { read_mode(f.problems, f.node, f.key, of(f.out)); }},
      {"network.network_profile",
       [](const F& f) { read_network_profile(f.problems, f.node, f.key, of(f.out)); }},
      {"network.allow_domain",
       [](const F& f) { read_host_rules(f.problems, f.node, f.key, of(f.out).allow_hosts); }},
      {"network.allow_hosts",
       [](const F& f) { read_host_rules(f.problems, f.node, f.key, of(f.out).allow_hosts); }},
      {"network.deny_domain",
       [](const F& f) {
         read_host_rules(f.problems, f.node, f.key, of(f.out).deny_hosts, RuleList::deny);
       }},
      {"network.allow_private",
       [](const F& f) { read_private_ranges(f.problems, f.node, f.key, of(f.out)); }},
      {"network.upstream_ca",
       [](const F& f) { of(f.out).upstream_ca_files = as_strings(f.problems, f.node, f.key); }},
      {"network.upstream_proxy",
       [](const F& f) { read_upstream_proxy(f.problems, f.node, f.key, of(f.out)); }},
      {"network.upstream_bypass",
       [](const F& f) { read_upstream_bypass(f.problems, f.node, f.key, of(f.out)); }},
      {"network.allow_http2", nullptr},
      {"credentials", [](const F& f) { read_credentials(f.problems, f.node, f.key, of(f.out)); }},
      {"custom_credentials",
       [](const F& f) { read_custom_credentials(f.problems, f.node, f.key, of(f.out)); }},
  };
}

}  // namespace nono::document
