#include "config/proxy_config.hpp"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "config/expand.hpp"
#include "config/proxy_schema.hpp"

namespace nono {
namespace {

using document::ListenPlace;
using document::Problems;
using document::ProxyFile;

// Keys that need each other, and keys that contradict each other.
void check_pairs(Problems& problems, const YAML::Node& root, const ProxyConfig& config) {
  const auto together = [&](bool one, bool other, std::string_view keys) {
    if (one != other) problems.at(root, fmt::format("{} go together", keys));
  };
  const auto needs = [&](bool given, bool needed, std::string_view what) {
    if (given && !needed) problems.at(root, std::string(what));
  };
  together(config.ca_cert.has_value(), config.ca_key.has_value(), "tls.ca_cert and tls.ca_key");
  together(config.tls_cert.has_value(), config.tls_key.has_value(), "tls.cert and tls.key");
  needs(config.env_format.has_value(), config.env_file.has_value(),
        "env_file.format without env_file.path");
  needs(config.audit_keep.has_value(), config.audit_rotate_bytes.has_value(),
        "audit.keep without audit.rotate_bytes");
  needs(config.admin_socket.has_value(), config.admin_enabled.value_or(true),
        "admin.socket and admin.enabled: false are contradictory");
  needs(config.no_auth && config.token.has_value(), false,
        "auth.token and auth.required: false are contradictory");
  for (const SessionEntry& entry : config.sessions) {
    needs(config.token && entry.token == config.token, false,
          fmt::format("session {} has the token of auth.token: each needs its own", entry.name));
    needs(config.env_file && entry.env_file == config.env_file, false,
          fmt::format("session {} has the file of env_file.path: each needs its own", entry.name));
  }
}

// No two listeners in one place: the later one of them is told.
void check_places(Problems& problems, const std::vector<ListenPlace>& places) {
  std::map<std::string, const ListenPlace*> taken;
  for (const ListenPlace& place : places) {
    const ListenAddress& address = place.address;
    if (address.unix_path.empty() && address.port == 0) continue;  // any free port is another one
    const std::string key = address.unix_path.empty()
                                ? fmt::format("{} {}", address.address.to_string(), address.port)
                                : "unix:" + address.unix_path;
    const auto [first, fresh] = taken.emplace(key, &place);
    if (fresh) continue;
    problems.at_place(place.at, fmt::format("{} of {} is that of {} at {} as well", place.text,
                                            place.owner, first->second->owner, first->second->at));
  }
}

// Relative paths of a file are relative to it: a service starts anywhere.
void place_paths(ProxyConfig& config, const std::string& file, const UserContext& user) {
  std::string directory = parent_path(canonical_path(normal_path(file, user.cwd)));
  const auto place = [&](std::string& path) {
    Result<std::string> expanded = expand_variables(path, user);
    if (expanded) path = normal_path(*expanded, directory);
  };
  const auto place_profile = [&](std::optional<std::string>& profile) {
    if (profile && profile->find('/') != std::string::npos) place(*profile);
  };
  const auto place_sockets = [&](std::vector<std::string>& listen) {
    constexpr std::string_view scheme = "unix:";
    for (std::string& text : listen) {
      if (!text.starts_with(scheme)) continue;
      std::string path = text.substr(scheme.size());
      place(path);
      text = std::string(scheme) + path;
    }
  };
  for (auto member : {&ProxyConfig::audit_log, &ProxyConfig::tls_cert, &ProxyConfig::tls_key,
                      &ProxyConfig::ca_cert, &ProxyConfig::ca_key, &ProxyConfig::env_file,
                      &ProxyConfig::admin_socket}) {
    if (config.*member) place(*(config.*member));
  }
  for (std::string& path : config.session.upstream_ca_files) place(path);
  place_profile(config.profile);
  place_sockets(config.listen);
  for (SessionEntry& entry : config.sessions) {
    for (std::string& path : entry.settings.upstream_ca_files) place(path);
    if (entry.env_file) place(*entry.env_file);
    place_profile(entry.profile);
    place_sockets(entry.listen);
  }
}

}  // namespace

Result<ProxyConfig> parse_proxy_config(std::string_view text, const std::string& file,
                                       const UserContext& user) {
  Result<YAML::Node> root = document::parse(text, file);
  if (!root) return tl::unexpected<Error>(root.error());
  Problems problems(file, document::is_json(text, file));
  ProxyFile read;
  document::SchemaReader<ProxyFile>(problems, document::proxy_keys(), read).read(*root);
  check_pairs(problems, *root, read.config);
  check_places(problems, read.places);
  if (problems.any()) return fail(problems.error());
  ProxyConfig config = std::move(read.config);
  config.notes = std::move(read.notes);
  place_paths(config, file, user);
  const std::string own = canonical_path(normal_path(file, user.cwd));
  config.session.policy_files = {own};
  for (SessionEntry& entry : config.sessions) {
    entry.settings.name = entry.name;
    entry.settings.policy_files = {own};
  }
  return config;
}

Result<ProxyConfig> load_proxy_config(const std::string& path, const UserContext& user) {
  Result<std::string> text = document::read_text(path, "configuration");
  if (!text) return tl::unexpected<Error>(text.error());
  return parse_proxy_config(*text, path, user);
}

}  // namespace nono
