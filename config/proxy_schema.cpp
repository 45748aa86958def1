#include "config/proxy_schema.hpp"

#include <algorithm>

#include "config/units.hpp"

namespace nono::document {
namespace {

using F = Field<ProxyFile>;
using Time = std::optional<std::chrono::milliseconds>;

Settings& settings_of(ProxyFile& file) {
  return file.config.session;
}

template <std::optional<std::string> ProxyConfig::*member>
void text(const F& f) {
  f.out.config.*member = as_string(f.problems, f.node, f.key);
}

template <bool ProxyConfig::*member>
void flag(const F& f) {
  f.out.config.*member = as_bool(f.problems, f.node, f.key).value_or(f.out.config.*member);
}

template <Time ProxyLimits::*member>
void duration(const F& f) {
  f.out.config.limits.*member = as_duration(f.problems, f.node, f.key);
}

template <auto member, std::uint64_t min, std::uint64_t max>
void count(const F& f) {
  read_count(f.problems, f.node, f.key, f.out.config.limits.*member, min, max);
}

template <auto member>
void session_count(const F& f) {
  read_count(f.problems, f.node, f.key, f.out.config.limits.session.*member, 1, 1'000'000);
}

void listen(const F& f) {
  f.out.config.listen = read_listen(f.problems, f.node, f.key, f.out.places);
}

void ca_validity(const F& f) {
  std::optional<std::chrono::milliseconds> value = as_duration(f.problems, f.node, f.key);
  if (!value) return;
  auto days = std::chrono::duration_cast<std::chrono::hours>(*value).count() / 24;
  if (days < 1 || days > 365) {
    f.problems.at(f.node, fmt::format("{}: from 1d to 365d", f.key));
  } else {
    f.out.config.ca_validity_days = static_cast<unsigned>(days);
  }
}

void auth_required(const F& f) {
  std::optional<bool> required = as_bool(f.problems, f.node, f.key);
  if (required) f.out.config.no_auth = !*required;
}

// `audit: required` in place of a map.
void audit_word(const F& f) {
  std::optional<std::string> word = one_of(f.problems, f.node, f.key, {"required", "best-effort"});
  f.out.config.audit_required = word == "required";
}

void audit_rotate_bytes(const F& f) {
  std::optional<std::uint64_t> bytes;
  if (f.node.IsScalar()) bytes = parse_size(f.node.Scalar());
  if (!bytes || *bytes < audit_rotate_bytes_min) {
    f.problems.at(f.node, fmt::format("{}: expected a size of at least 64K, such as 64M", f.key));
  } else {
    f.out.config.audit_rotate_bytes = bytes;
  }
}

void env_format(const F& f) {
  f.out.config.env_format = read_env_format(f.problems, f.node, f.key);
}

void dns_listen(const F& f) {
  std::vector<std::string> texts;
  if (f.node.IsSequence()) {
    texts = as_strings(f.problems, f.node, f.key);
  } else if (std::optional<std::string> one = as_string(f.problems, f.node, f.key)) {
    texts = {*one};
  }
  for (const std::string& place : texts) {
    Result<ListenAddress> address = parse_inet_listen(place, dns_port);
    if (!address) {
      f.problems.at(f.node,
                    fmt::format("{}: {}; {}", f.key, address.error().what, address.error().fix));
    }
  }
  f.out.config.dns.listen = std::move(texts);
}

void metrics_listen(const F& f) {
  std::optional<std::string> place = as_string(f.problems, f.node, f.key);
  if (!place) return;
  Result<ListenAddress> address = parse_inet_listen(*place);
  if (!address) {
    f.problems.at(f.node,
                  fmt::format("{}: {}; {}", f.key, address.error().what, address.error().fix));
    return;
  }
  if (!address->port_written) {
    f.problems.at(f.node, fmt::format("{}: {}: write the port as well", f.key, *place));
  }
  f.out.places.push_back({*address, *place, f.problems.place(f.node), "metrics.listen"});
  f.out.config.metrics_listen = *place;
}

void drain_time(const F& f) {
  const bool none = f.node.IsScalar() && (f.node.Scalar() == "0" || f.node.Scalar() == "0s");
  f.out.config.drain_time =
      none ? Time(std::chrono::milliseconds(0)) : as_duration(f.problems, f.node, f.key);
}

void reload(const F& f) {
  std::optional<std::string> word = one_of(f.problems, f.node, f.key, {"keep", "cut"});
  f.out.config.reload_cut = word == "cut";
}

void log_level(const F& f) {
  std::optional<std::string> word =
      one_of(f.problems, f.node, f.key, {"error", "warn", "info", "debug"});
  if (word) f.out.config.log_level = parse_log_level(*word);
}

std::vector<Key<ProxyFile>> general_keys() {
  return {
      {"listen", listen},
      {"threads",
       [](const F& f) { read_count(f.problems, f.node, f.key, f.out.config.threads, 1, 256); }},
      {"mode", [](const F& f) { read_mode(f.problems, f.node, f.key, settings_of(f.out)); }},
      {"profile", text<&ProxyConfig::profile>},
      {"sessions", read_sessions},
      {"dns.servers",
       [](const F& f) { read_dns_servers(f.problems, f.node, f.key, settings_of(f.out)); }},
      {"dns.listen", dns_listen},
      {"dns.cache_entries_max",
       [](const F& f) {
         read_count(f.problems, f.node, f.key, f.out.config.dns.cache_entries_max, 16, 10'000'000);
       }},
      {"dns.queries_per_second_max",
       [](const F& f) {
         read_count(f.problems, f.node, f.key, f.out.config.dns.queries_per_second_max, 1,
                    10'000'000);
       }},
      {"tls.cert", text<&ProxyConfig::tls_cert>},
      {"tls.key", text<&ProxyConfig::tls_key>},
      {"tls.ca_cert", text<&ProxyConfig::ca_cert>},
      {"tls.ca_key", text<&ProxyConfig::ca_key>},
      {"tls.ca_validity", ca_validity},
      {"auth.required", auth_required},
      {"auth.token",
       [](const F& f) { f.out.config.token = read_token_source(f.problems, f.node, f.key); }},
      {"audit", audit_word},
      {"audit.log", text<&ProxyConfig::audit_log>},
      {"audit.required", flag<&ProxyConfig::audit_required>},
      {"audit.rotate_bytes", audit_rotate_bytes},
      {"audit.keep",
       [](const F& f) {
         read_count(f.problems, f.node, f.key, f.out.config.audit_keep, 1, 10'000);
       }},
      {"env_file.path", text<&ProxyConfig::env_file>},
      {"env_file.format", env_format},
      {"metrics.listen", metrics_listen},
      {"admin.socket", text<&ProxyConfig::admin_socket>},
      {"admin.enabled",
       [](const F& f) { f.out.config.admin_enabled = as_bool(f.problems, f.node, f.key); }},
      {"drain_time", drain_time},
      {"reload", reload},
      {"reload_on_change", flag<&ProxyConfig::reload_on_change>},
      {"log_level", log_level},
      {"via", flag<&ProxyConfig::via>},
      {"socks5", flag<&ProxyConfig::socks5>},
  };
}

std::vector<Key<ProxyFile>> limit_keys() {
  return {
      {"limits.connections_max", count<&ProxyLimits::connections_max, 1, 1'000'000>},
      {"limits.connections_per_session_max", session_count<&SessionLimits::connections_max>},
      {"limits.connects_per_second_max",
       count<&ProxyLimits::connects_per_second_max, 1, 1'000'000>},
      {"limits.connects_per_second_per_session_max",
       session_count<&SessionLimits::connects_per_second_max>},
      {"limits.head_bytes_max", count<&ProxyLimits::head_bytes_max, 1024, 1024 * 1024>},
      {"limits.request_line_bytes_max",
       count<&ProxyLimits::request_line_bytes_max, 512, 1024 * 1024>},
      {"limits.fields_max", count<&ProxyLimits::fields_max, 10, 1000>},
      {"limits.peek_bytes_max", count<&ProxyLimits::peek_bytes_max, 1024, 64 * 1024>},
      {"limits.drain_bytes_max", count<&ProxyLimits::drain_bytes_max, 0, 64 * 1024 * 1024>},
      {"limits.upstream_pool_max", count<&ProxyLimits::upstream_pool_max, 0, 100'000>},
      {"limits.head_time_max", duration<&ProxyLimits::head_time_max>},
      {"limits.keep_alive_time_max", duration<&ProxyLimits::keep_alive_time_max>},
      {"limits.resolve_time_max", duration<&ProxyLimits::resolve_time_max>},
      {"limits.connect_time_max", duration<&ProxyLimits::connect_time_max>},
      {"limits.tls_time_max", duration<&ProxyLimits::tls_time_max>},
      {"limits.first_byte_time_max", duration<&ProxyLimits::first_byte_time_max>},
      {"limits.peek_time_max", duration<&ProxyLimits::peek_time_max>},
      {"limits.idle_time_max", duration<&ProxyLimits::idle_time_max>},
      {"limits.drain_time_max", duration<&ProxyLimits::drain_time_max>},
      {"limits.upstream_idle_time_max", duration<&ProxyLimits::upstream_idle_time_max>},
  };
}

std::vector<Key<ProxyFile>> make_proxy_keys() {
  std::vector<Key<ProxyFile>> keys = general_keys();
  for (const Key<ProxyFile>& key : settings_keys<ProxyFile, settings_of>()) keys.push_back(key);
  for (const Key<ProxyFile>& key : limit_keys()) keys.push_back(key);
  return keys;
}

}  // namespace

std::vector<std::string> read_listen(Problems& problems, const YAML::Node& node,
                                     std::string_view key, std::vector<ListenPlace>& places) {
  std::vector<std::string> texts;
  const auto add = [&](const YAML::Node& item) {
    std::optional<std::string> written = as_string(problems, item, key);
    if (!written) return;
    Result<ListenAddress> address = parse_listen_address(*written);
    if (address) {
      places.push_back({*address, *written, problems.place(item), std::string(key)});
    } else {
      problems.at(item, fmt::format("{}: {}; {}", key, address.error().what, address.error().fix));
    }
    texts.push_back(std::move(*written));
  };
  if (!node.IsSequence()) {
    add(node);
    return texts;
  }
  if (node.size() == 0) problems.at(node, fmt::format("{}: at least one address", key));
  for (const YAML::Node& item : node) add(item);
  return texts;
}

std::optional<std::string> read_env_format(Problems& problems, const YAML::Node& node,
                                           std::string_view key) {
  return one_of(problems, node, key, {"shell", "github", "json"});
}

std::optional<std::string> read_token_source(Problems& problems, const YAML::Node& node,
                                             std::string_view key) {
  std::optional<std::string> source = as_string(problems, node, key);
  if (!source) return std::nullopt;
  const bool variable = source->starts_with("env://") && source->size() > 6;
  const bool file = source->starts_with("file:///") && source->size() > 8;
  if (variable || file) return source;
  // The value is not repeated: it may be the token itself.
  problems.at(node, fmt::format("{}: write where the token is (env://NAME or file:///path), never "
                                "the token itself",
                                key));
  return std::nullopt;
}

const std::vector<Key<ProxyFile>>& proxy_keys() {
  static const std::vector<Key<ProxyFile>> table = make_proxy_keys();
  return table;
}

}  // namespace nono::document
