#include "config/proxy_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "config/expand.hpp"
#include "config/network_keys.hpp"
#include "config/schema.hpp"

namespace nono {
namespace {

using F = document::Field<ProxyConfig>;

// A path as written: relative ones are made relative to the file once all is read.
template <std::optional<std::string> ProxyConfig::*member>
void path(const F& f) {
  f.out.*member = document::as_string(f.problems, f.node, f.key);
}

template <std::optional<std::chrono::milliseconds> ProxyLimits::*member>
void duration(const F& f) {
  f.out.limits.*member = document::as_duration(f.problems, f.node, f.key);
}

template <std::optional<std::size_t> ProxyLimits::*member, std::uint64_t min, std::uint64_t max>
void count(const F& f) {
  std::optional<std::uint64_t> value = document::as_number(f.problems, f.node, f.key, min, max);
  if (value) f.out.limits.*member = static_cast<std::size_t>(*value);
}

void read_listen(const F& f) {
  if (f.node.IsSequence()) {
    f.out.listen = document::as_strings(f.problems, f.node, f.key);
    if (f.out.listen.empty()) f.problems.at(f.node, "listen: at least one address");
  } else if (std::optional<std::string> text = document::as_string(f.problems, f.node, f.key)) {
    f.out.listen = {*text};
  }
}

void read_threads(const F& f) {
  std::optional<std::uint64_t> value = document::as_number(f.problems, f.node, f.key, 1, 256);
  if (value) f.out.threads = static_cast<unsigned>(*value);
}

void read_ca_validity(const F& f) {
  std::optional<std::chrono::milliseconds> value = document::as_duration(f.problems, f.node, f.key);
  if (!value) return;
  auto days = std::chrono::duration_cast<std::chrono::hours>(*value).count() / 24;
  if (days < 1 || days > 365) {
    f.problems.at(f.node, fmt::format("{}: from 1d to 365d", f.key));
  } else {
    f.out.ca_validity_days = static_cast<unsigned>(days);
  }
}

void read_token(const F& f) {
  std::optional<std::string> text = document::as_string(f.problems, f.node, f.key);
  if (!text) return;
  if (!text->starts_with("env://") && !text->starts_with("file:///")) {
    // The value is not repeated: it may be the token itself.
    f.problems.at(f.node, fmt::format("{}: write where the token is (env://NAME or file:///path), "
                                      "never the token itself",
                                      f.key));
    return;
  }
  f.out.token = *text;
}

void read_auth_required(const F& f) {
  std::optional<bool> required = document::as_bool(f.problems, f.node, f.key);
  if (required) f.out.no_auth = !*required;
}

void read_audit_required(const F& f) {
  f.out.audit_required = document::as_bool(f.problems, f.node, f.key).value_or(false);
}

void read_env_format(const F& f) {
  std::optional<std::string> text = document::as_string(f.problems, f.node, f.key);
  if (!text) return;
  static const std::vector<std::string> formats = {"shell", "github", "json"};
  if (std::find(formats.begin(), formats.end(), *text) == formats.end()) {
    f.problems.at(f.node, fmt::format("{}: no format is called {}{}", f.key, *text,
                                      suggestion(*text, formats)));
  } else {
    f.out.env_format = *text;
  }
}

void allow_hosts(const F& f) {
  document::read_host_rules(f.problems, f.node, f.key, f.out.session.allow_hosts);
}

const std::vector<document::Key<ProxyConfig>>& keys() {
  static const std::vector<document::Key<ProxyConfig>> table = {
      {"listen", read_listen},
      {"threads", read_threads},
      {"profile",
       [](const F& f) { f.out.profile = document::as_string(f.problems, f.node, f.key); }},
      {"network.network_profile",
       [](const F& f) {
         document::read_network_profile(f.problems, f.node, f.key, f.out.session);
       }},
      {"network.allow_domain", allow_hosts},
      {"network.allow_hosts", allow_hosts},
      {"network.deny_domain",
       [](const F& f) {
         document::read_host_rules(f.problems, f.node, f.key, f.out.session.deny_hosts);
       }},
      {"network.allow_private",
       [](const F& f) { document::read_private_ranges(f.problems, f.node, f.key, f.out.session); }},
      {"network.upstream_ca",
       [](const F& f) {
         f.out.session.upstream_ca_files = document::as_strings(f.problems, f.node, f.key);
       }},
      {"network.upstream_proxy",
       [](const F& f) { document::read_upstream_proxy(f.problems, f.node, f.key, f.out.session); }},
      {"network.upstream_bypass",
       [](const F& f) {
         document::read_upstream_bypass(f.problems, f.node, f.key, f.out.session);
       }},
      {"network.allow_http2", nullptr},
      {"dns.servers",
       [](const F& f) { document::read_dns_servers(f.problems, f.node, f.key, f.out.session); }},
      {"dns.listen", nullptr},
      {"credentials",
       [](const F& f) { document::read_credentials(f.problems, f.node, f.key, f.out.session); }},
      {"custom_credentials",
       [](const F& f) {
         document::read_custom_credentials(f.problems, f.node, f.key, f.out.session);
       }},
      {"tls.ca_cert", path<&ProxyConfig::ca_cert>},
      {"tls.ca_key", path<&ProxyConfig::ca_key>},
      {"tls.ca_validity", read_ca_validity},
      {"tls.cert", nullptr},
      {"tls.key", nullptr},
      {"auth.required", read_auth_required},
      {"auth.token", read_token},
      {"audit.log", path<&ProxyConfig::audit_log>},
      {"audit.required", read_audit_required},
      {"env_file.path", path<&ProxyConfig::env_file>},
      {"env_file.format", read_env_format},
      {"limits.connections_max", count<&ProxyLimits::connections_max, 1, 1'000'000>},
      {"limits.head_bytes_max", count<&ProxyLimits::head_bytes_max, 1024, 1024 * 1024>},
      {"limits.fields_max", count<&ProxyLimits::fields_max, 10, 1000>},
      {"limits.head_time_max", duration<&ProxyLimits::head_time_max>},
      {"limits.keep_alive_time_max", duration<&ProxyLimits::keep_alive_time_max>},
      {"limits.resolve_time_max", duration<&ProxyLimits::resolve_time_max>},
      {"limits.connect_time_max", duration<&ProxyLimits::connect_time_max>},
      {"limits.tls_time_max", duration<&ProxyLimits::tls_time_max>},
      {"limits.first_byte_time_max", duration<&ProxyLimits::first_byte_time_max>},
      {"limits.idle_time_max", duration<&ProxyLimits::idle_time_max>},
      {"sessions", nullptr},
      {"metrics", nullptr},
      {"admin", nullptr},
  };
  return table;
}

// Relative paths of a file are relative to it: a service starts anywhere.
void place_paths(ProxyConfig& config, const std::string& file, const UserContext& user) {
  std::string directory = parent_path(canonical_path(normal_path(file, user.cwd)));
  auto place = [&](std::string& path) {
    Result<std::string> expanded = expand_variables(path, user);
    if (expanded) path = normal_path(*expanded, directory);
  };
  for (auto member : {&ProxyConfig::audit_log, &ProxyConfig::ca_cert, &ProxyConfig::ca_key,
                      &ProxyConfig::env_file}) {
    if (config.*member) place(*(config.*member));
  }
  for (std::string& path : config.session.upstream_ca_files) place(path);
  bool profile_path = config.profile && config.profile->find('/') != std::string::npos;
  if (profile_path) place(*config.profile);
}

}  // namespace

Result<ProxyConfig> parse_proxy_config(std::string_view text, const std::string& file,
                                       const UserContext& user) {
  Result<YAML::Node> root = document::parse(text, file);
  if (!root) return tl::unexpected<Error>(root.error());
  document::Problems problems(file, document::is_json(text, file));
  ProxyConfig config;
  document::SchemaReader<ProxyConfig>(problems, keys(), config).read(*root);
  if (config.ca_cert.has_value() != config.ca_key.has_value()) {
    problems.at(*root, "tls.ca_cert and tls.ca_key go together");
  }
  if (config.env_format && !config.env_file)
    problems.at(*root, "env_file.format without env_file.path");
  if (problems.any()) return fail(problems.error());
  place_paths(config, file, user);
  config.session.policy_files = {canonical_path(normal_path(file, user.cwd))};
  return config;
}

Result<ProxyConfig> load_proxy_config(const std::string& path, const UserContext& user) {
  Result<std::string> text = document::read_text(path, "configuration");
  if (!text) return tl::unexpected<Error>(text.error());
  return parse_proxy_config(*text, path, user);
}

}  // namespace nono
