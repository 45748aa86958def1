#include "config/profile_schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "config/groups.hpp"
#include "config/network_keys.hpp"

namespace nono::document {
namespace {

using F = Field<ProfileFile>;

void add(std::vector<std::string>& list, std::vector<std::string> values) {
  for (std::string& value : values) list.push_back(std::move(value));
}

// Says once that a key is understood and changes nothing.
void note(const F& f, std::string_view why) {
  if (asks_nothing(f.node)) return;
  f.out.notes.push_back(fmt::format("{}: {} {}", f.problems.place(f.node), f.key, why));
}

// One of a few words; complains with a suggestion.
std::optional<std::string> choice(const F& f, const std::vector<std::string>& choices) {
  std::optional<std::string> text = as_string(f.problems, f.node, f.key);
  if (!text || std::find(choices.begin(), choices.end(), *text) != choices.end()) return text;
  f.problems.at(f.node, fmt::format("{}: {} is none of its values{}", f.key, *text,
                                    suggestion(*text, choices)));
  return std::nullopt;
}

// A value that is understood but whose feature is not there.
void not_yet(const F& f, std::string_view value) {
  f.problems.at(f.node, fmt::format("{}: {} is not supported yet", f.key, value));
}

void ignore(const F&) {}

void read_extends(const F& f) {
  if (f.node.IsSequence()) {
    for (const YAML::Node& item : f.node) {
      std::optional<std::string> name = as_string(f.problems, item, f.key);
      if (name) f.out.extends.push_back({*name, f.problems.origin(item)});
    }
  } else if (std::optional<std::string> name = as_string(f.problems, f.node, f.key)) {
    f.out.extends.push_back({*name, f.problems.origin(f.node)});
  }
}

void read_meta(const F& f) {
  if (!is_map(f.problems, f.node, f.key)) return;
  bool named = false;
  for (const auto& item : f.node) {
    const std::string& name = item.first.Scalar();
    static const std::vector<std::string> known = {"name", "version", "description", "author"};
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      f.problems.at(item.first,
                    fmt::format("unknown key meta.{}{}", name, suggestion(name, known)));
      continue;
    }
    std::optional<std::string> text = as_string(f.problems, item.second, "meta." + name);
    if (name != "name") continue;
    if (named) f.problems.at(item.first, "duplicate key meta.name");
    named = true;
    f.out.settings.name = text.value_or("");
  }
  if (!named) f.problems.at(f.node, "meta: name is missing");
}

void read_workdir(const F& f) {
  std::optional<std::string> text = choice(f, {"none", "read", "write", "readwrite"});
  if (!text || *text == "none") return;
  f.out.settings.workdir_access = *text == "read"    ? Access::read
                                  : *text == "write" ? Access::write
                                                     : Access::read_write;
}

void read_groups(const F& f, std::vector<std::string>& list) {
  if (!is_list(f.problems, f.node, f.key)) return;
  for (const YAML::Node& item : f.node) {
    std::optional<std::string> name = as_string(f.problems, item, f.key);
    if (!name) continue;
    if (std::string_view why = meaningless_group(*name); !why.empty()) {
      f.out.notes.push_back(
          fmt::format("{}: group {} changes nothing: {}", f.problems.place(item), *name, why));
    } else if (path_group(*name) == nullptr) {
      f.problems.at(item, fmt::format("unknown policy group {}{}", *name,
                                      suggestion(*name, path_group_names())));
    } else {
      list.push_back(*name);
    }
  }
}

void include_groups(const F& f) {
  read_groups(f, f.out.settings.include_groups);
}

void exclude_groups(const F& f) {
  std::size_t before = f.out.settings.exclude_groups.size();
  read_groups(f, f.out.settings.exclude_groups);
  for (std::size_t i = before; i < f.out.settings.exclude_groups.size(); ++i) {
    const PathGroup* group = path_group(f.out.settings.exclude_groups[i]);
    if (group->required) f.problems.at(f.node, "cannot exclude the required group " + group->name);
  }
}

// Whether a `when` predicate holds here. Linux is what this build runs on.
bool holds(const F& f, const YAML::Node& node) {
  std::string word = as_string(f.problems, node, fmt::format("{}.when", f.key)).value_or("linux");
  bool negated = word.starts_with('!');
  std::string system = word.substr(negated ? 1 : 0);
  static const std::vector<std::string> known = {"linux", "macos", "windows"};
  if (std::find(known.begin(), known.end(), system) == known.end()) {
    f.problems.at(
        node, fmt::format("{}.when: {} is no system{}", f.key, system, suggestion(system, known)));
  }
  return (system == "linux") != negated;
}

std::optional<std::string> read_path(const F& f, const YAML::Node& item) {
  if (!item.IsMap()) return as_string(f.problems, item, f.key);
  std::optional<std::string> path;
  bool applies = true;
  for (const auto& field : item) {
    const std::string& name = field.first.Scalar();
    if (name == "path") {
      path = as_string(f.problems, field.second, fmt::format("{}.path", f.key));
    } else if (name == "when") {
      applies = holds(f, field.second);
    } else {
      f.problems.at(field.first, fmt::format("unknown key {}.{}{}", f.key, name,
                                             suggestion(name, {"path", "when"})));
    }
  }
  if (!path) f.problems.at(item, fmt::format("{}: path is missing", f.key));
  return applies ? path : std::nullopt;
}

void read_paths(const F& f, Access access, bool file, std::vector<PathRule>& list) {
  if (!is_list(f.problems, f.node, f.key)) return;
  for (const YAML::Node& item : f.node) {
    std::optional<std::string> path = read_path(f, item);
    if (!path) continue;
    if (path->empty()) {
      f.problems.at(item, fmt::format("{}: an empty path", f.key));
      continue;
    }
    list.push_back({*path, access, file, f.problems.origin(item)});
  }
}

template <Access access, bool file>
void grant(const F& f) {
  read_paths(f, access, file, f.out.settings.paths);
}

void deny(const F& f) {
  read_paths(f, Access::none, false, f.out.settings.deny_paths);
}

void bypass(const F& f) {
  add(f.out.settings.bypass_protection, as_strings(f.problems, f.node, f.key));
}

void no_commands(const F& f) {
  note(f, "changes nothing: no command is blocked by its name, the kernel confines what it does");
}

void macos_only(const F& f) {
  note(f, "changes nothing: it is for macOS only");
}

void block(const F& f) {
  std::optional<bool> on = as_bool(f.problems, f.node, f.key);
  if (!on || !*on) return;
  f.out.settings.block_network = true;
  f.out.settings.block_origin = f.problems.origin(f.node);
}

void allow_hosts(const F& f) {
  read_host_rules(f.problems, f.node, f.key, f.out.settings.allow_hosts);
}
void deny_hosts(const F& f) {
  read_host_rules(f.problems, f.node, f.key, f.out.settings.deny_hosts, RuleList::deny);
}
void open_ports(const F& f) {
  read_ports(f.problems, f.node, f.key, f.out.settings.open_ports);
}
void credentials(const F& f) {
  read_credentials(f.problems, f.node, f.key, f.out.settings);
}

bool is_variable_name(std::string_view name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  });
}

std::vector<std::string> read_variables(const F& f) {
  std::vector<std::string> names;
  if (!is_list(f.problems, f.node, f.key)) return names;
  for (const YAML::Node& item : f.node) {
    std::optional<std::string> name = as_string(f.problems, item, f.key);
    if (!name) continue;
    std::string_view stem = *name;
    if (stem.ends_with('*')) stem.remove_suffix(1);
    if (is_variable_name(stem) || *name == "*") {
      names.push_back(*name);
    } else {
      f.problems.at(item,
                    fmt::format("{}: {} is no variable name (a * may only end it)", f.key, *name));
    }
  }
  return names;
}

void allow_vars(const F& f) {
  std::optional<std::vector<std::string>>& list = f.out.settings.allow_env;
  if (!list) list.emplace();
  add(*list, read_variables(f));
}

void set_vars(const F& f) {
  if (!is_map(f.problems, f.node, f.key)) return;
  for (const auto& item : f.node) {
    const std::string& name = item.first.Scalar();
    std::optional<std::string> value = as_string(f.problems, item.second, f.key);
    if (!is_variable_name(name)) {
      f.problems.at(item.first, fmt::format("{}: {} is no variable name", f.key, name));
    } else if (name == "PATH" || name.starts_with("NONO_")) {
      f.problems.at(item.first, fmt::format("{}: {} cannot be set", f.key, name));
    } else if (value && !f.out.settings.set_env.emplace(name, *value).second) {
      f.problems.at(item.first, fmt::format("duplicate key {}.{}", f.key, name));
    }
  }
}

// isolated is what every session is; its own process namespace is what allow_same_sandbox means.
void isolation(const F& f) {
  std::optional<std::string> mode = choice(f, {"isolated", "allow_same_sandbox", "allow_all"});
  if (mode == "allow_all") not_yet(f, *mode);
}

// Each session has an IPC namespace of its own, so that either value gives the command all of its
// own and nothing of others.
void ipc_mode(const F& f) {
  (void)choice(f, {"shared_memory_only", "full"});
}

void wsl2_policy(const F& f) {
  std::optional<std::string> mode = choice(f, {"error", "insecure_proxy"});
  if (mode == "insecure_proxy") not_yet(f, *mode);
}

void unix_mediation(const F& f) {
  std::optional<std::string> mode = choice(f, {"off", "pathname"});
  if (mode == "off") note(f, "changes nothing: Unix sockets of others are always refused");
}

void unix_socket(const F& f) {
  read_paths(f, Access::read, true, f.out.settings.unix_sockets);
}

void unix_sockets(const F& f) {
  if (choice(f, {"none", "inside"}) == "inside") f.out.settings.unix_inside = true;
}

void sandbox_policy(const F& f) {
  std::optional<std::string> mode = choice(f, {"auto", "landlock", "external"});
  if (mode && *mode != "auto") not_yet(f, *mode);
}

void ca_lifecycle(const F& f) {
  std::optional<std::string> mode = choice(f, {"session", "trusted"});
  if (mode == "trusted") not_yet(f, *mode);
}

std::vector<Key<ProfileFile>> general_keys() {
  return {
      {"$schema", ignore},
      {"extends", read_extends},
      {"meta", read_meta},
      {"workdir.access", read_workdir},
      {"groups.include", include_groups},
      {"groups.exclude", exclude_groups},
      {"filesystem.allow", grant<Access::read_write, false>},
      {"filesystem.read", grant<Access::read, false>},
      {"filesystem.write", grant<Access::write, false>},
      {"filesystem.allow_file", grant<Access::read_write, true>},
      {"filesystem.read_file", grant<Access::read, true>},
      {"filesystem.write_file", grant<Access::write, true>},
      {"filesystem.deny", deny},
      {"filesystem.bypass_protection", bypass},
      {"filesystem.suppress_save_prompt",
       [](const F& f) { note(f, "changes nothing: nono never asks to save"); }},
      {"filesystem.unix_socket", unix_socket},
      {"filesystem.unix_socket_bind", nullptr},
      {"filesystem.unix_socket_dir", nullptr},
      {"filesystem.unix_socket_dir_bind", nullptr},
      {"filesystem.unix_socket_subtree", nullptr},
      {"filesystem.unix_socket_subtree_bind", nullptr},
      {"security.signal_mode", isolation},
      {"security.process_info_mode", isolation},
      {"security.ipc_mode", ipc_mode},
      {"security.capability_elevation", nullptr},
      {"security.wsl2_proxy_policy", wsl2_policy},
      {"linux.af_unix_mediation", unix_mediation},
      {"linux.unix_sockets", unix_sockets},
      {"linux.sandbox_policy", sandbox_policy},
      {"environment.allow_vars", allow_vars},
      {"environment.deny_vars",
       [](const F& f) { add(f.out.settings.deny_env, read_variables(f)); }},
      {"environment.set_vars", set_vars},
  };
}

std::vector<Key<ProfileFile>> network_keys() {
  return {
      {"network.block", block},
      {"network.mode", [](const F& f) { read_mode(f.problems, f.node, f.key, f.out.settings); }},
      {"network.network_profile",
       [](const F& f) { read_network_profile(f.problems, f.node, f.key, f.out.settings); }},
      {"network.allow_domain", allow_hosts},
      {"network.allow_hosts", allow_hosts},
      {"network.deny_domain", deny_hosts},
      {"network.credentials", credentials},
      {"network.custom_credentials",
       [](const F& f) { read_custom_credentials(f.problems, f.node, f.key, f.out.settings); }},
      {"network.allow_private",
       [](const F& f) { read_private_ranges(f.problems, f.node, f.key, f.out.settings); }},
      {"network.dns_servers",
       [](const F& f) { read_dns_servers(f.problems, f.node, f.key, f.out.settings); }},
      {"network.upstream_ca",
       [](const F& f) {
         add(f.out.settings.upstream_ca_files, as_strings(f.problems, f.node, f.key));
       }},
      {"network.allow_http2", nullptr},
      {"network.open_port", open_ports},
      {"network.listen_port",
       [](const F& f) { read_ports(f.problems, f.node, f.key, f.out.settings.listen_ports); }},
      {"network.connect_port", nullptr},
      {"network.upstream_proxy",
       [](const F& f) { read_upstream_proxy(f.problems, f.node, f.key, f.out.settings); }},
      {"network.upstream_bypass",
       [](const F& f) { read_upstream_bypass(f.problems, f.node, f.key, f.out.settings); }},
      {"network.tls_intercept.ca_lifecycle", ca_lifecycle},
      {"network.tls_intercept.ca_validity", nullptr},
      {"network.tls_intercept.leaf_validity", nullptr},
  };
}

// Old names, and keys whose feature is not there or means nothing on Linux. The words of the guide
// (security.groups, policy.add_deny_access, network.allow_hosts) are not old.
std::vector<Key<ProfileFile>> other_keys() {
  return {
      {"security.groups", include_groups},
      {"policy.add_deny_access", deny},
      {"policy.exclude_groups", exclude_groups, "groups.exclude"},
      {"policy.add_allow_read", grant<Access::read, false>, "filesystem.read"},
      {"policy.add_allow_write", grant<Access::write, false>, "filesystem.write"},
      {"policy.add_allow_readwrite", grant<Access::read_write, false>, "filesystem.allow"},
      {"policy.override_deny", bypass, "filesystem.bypass_protection"},
      {"policy.add_deny_commands", no_commands},
      {"security.allowed_commands", no_commands},
      {"commands.allow", no_commands},
      {"commands.deny", no_commands},
      {"filesystem.ignore",
       [](const F& f) { note(f, "changes nothing: nono never asks to save"); }},
      {"network.proxy_allow", allow_hosts, "network.allow_domain"},
      {"network.allow_proxy", allow_hosts, "network.allow_domain"},
      {"network.proxy_credentials", credentials, "network.credentials"},
      {"network.port_allow", open_ports, "network.open_port"},
      {"network.allow_port", open_ports, "network.open_port"},
      {"network.external_proxy", nullptr},
      {"network.external_proxy_bypass", nullptr},
      {"env_credentials", nullptr},
      {"secrets", nullptr},
      {"credential_capture", nullptr},
      {"command_policies", nullptr},
      {"session_hooks", nullptr},
      {"hooks", nullptr},
      {"rollback", nullptr},
      {"undo", nullptr},
      {"open_urls", nullptr},
      {"binary", nullptr},
      {"command_args", nullptr},
      {"brokered_commands", nullptr},
      {"packs", nullptr},
      {"skipdirs", nullptr},
      {"allow_gpu", nullptr},
      {"allow_parent_of_protected", nullptr},
      {"interactive", [](const F& f) { note(f, "changes nothing: a terminal is recognised"); }},
      {"allow_launch_services", macos_only},
      {"unsafe_macos_seatbelt_rules", macos_only},
      {"diagnostics.suppress_system_services", macos_only},
  };
}

std::vector<Key<ProfileFile>> all_keys() {
  std::vector<Key<ProfileFile>> keys = general_keys();
  for (const Key<ProfileFile>& key : network_keys()) keys.push_back(key);
  for (const Key<ProfileFile>& key : other_keys()) keys.push_back(key);
  return keys;
}

}  // namespace

const std::vector<Key<ProfileFile>>& profile_keys() {
  static const std::vector<Key<ProfileFile>> keys = all_keys();
  return keys;
}

}  // namespace nono::document
