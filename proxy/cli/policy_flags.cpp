#include "proxy/cli/policy_flags.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>

#include "config/base/address.hpp"

namespace nono::cli {

namespace {

// A flag that may be repeated and takes one value each time.
CLI::Option* repeatable(CLI::App& app, const std::string& names, std::vector<std::string>& values,
                        const std::string& group, const std::string& help) {
  return app.add_option(names, values, help)->allow_extra_args(false)->group(group);
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

// The first of `names` that is set and not empty.
std::optional<std::string> first_of(const EnvLookup& env,
                                    std::initializer_list<const char*> names) {
  for (const char* name : names) {
    std::optional<std::string> value = env(name);
    if (value && !value->empty()) return value;
  }
  return std::nullopt;
}

bool variable_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && !(name.front() >= '0' && name.front() <= '9') &&
         std::all_of(name.begin(), name.end(), allowed);
}

tl::unexpected<Error> bad(std::string what) {
  return fail(ErrorCode::bad_input, std::move(what));
}

}  // namespace

void PolicyFlags::add_files(CLI::App& app) {
  const std::string group = "Files";
  repeatable(app, "-a,--allow", allow_, group, "DIR: read and write below it (repeatable)");
  repeatable(app, "-r,--read", read_, group, "DIR: read and execute below it");
  repeatable(app, "-w,--write", write_, group, "DIR: write, create and remove below it");
  repeatable(app, "--allow-file", allow_file_, group, "FILE: read and write");
  repeatable(app, "--read-file", read_file_, group, "FILE: read");
  repeatable(app, "--write-file", write_file_, group, "FILE: write");
  repeatable(app, "--bypass-protection", bypass_, group,
             "PATH: lift a built-in protection from it; a grant must name it too");
  repeatable(app, "--allow-unix-socket", unix_socket_, group,
             "PATH: the command may connect to this Unix socket; implies --unix-sockets inside");
  app.add_option(
         "--unix-sockets", unix_sockets_,
         "MODE: none (default), or inside (Unix sockets between the command's own programs)")
      ->check(CLI::IsMember({"none", "inside"}))
      ->group(group);
  repeatable(app, "--override-deny", old_bypass_, "", "");  // deprecated, not in --help
}

void PolicyFlags::add_network(CLI::App& app) {
  const std::string group = "Network";
  app.add_option("--network-profile", network_profile_,
                 "NAME: a named set of hosts, such as minimal")
      ->group(group);
  repeatable(app, "--allow-domain", allow_domain_, group,
             "RULE: host, *.host, host:port, address, range or https://host/path/** (repeatable)");
  repeatable(app, "--allow-proxy,--proxy-allow", old_allow_domain_, "", "");
  repeatable(app, "--deny-domain", deny_domain_, group,
             "HOST: refuse it; wins over what allows it");
  repeatable(app, "--allow-private", allow_private_, group,
             "CIDR: names may resolve into this private range");
  repeatable(app, "--dns-server", dns_server_, group, "ADDR[:PORT]: resolve with it (repeatable)");
  app.add_flag(
         "--observe", observe_,
         "Let pass what no rule allows or a rule denies, and record it; nono audit hosts then "
         "prints the rules that were needed")
      ->group(group);
  app.add_option("--upstream-proxy,--external-proxy", upstream_proxy_,
                 "[http://[USER:PASSWORD@]]HOST:PORT: go through this proxy")
      ->group(group);
  repeatable(app, "--upstream-bypass,--external-proxy-bypass", upstream_bypass_, group,
             "HOST: host, *.host, address or range reached without it (repeatable)");
  repeatable(app, "--upstream-ca", upstream_ca_, group,
             "FILE: trust these PEM roots upstream as well");
}

void PolicyFlags::add_block_net(CLI::App& app) {
  app.add_flag("--block-net,--net-block", block_net_, "No network at all")->group("Network");
}

void PolicyFlags::add_ports(CLI::App& app) {
  const std::string group = "Network";
  repeatable(app, "--open-port,--allow-port", open_port_, group,
             "N: the command reaches this machine's server on 127.0.0.1:N at its own (repeatable)");
  repeatable(app, "--listen-port,--allow-bind", listen_port_, group,
             "N: this machine reaches the command's server on 127.0.0.1:N at its own (repeatable)");
}

void PolicyFlags::add_credentials(CLI::App& app) {
  const std::string group = "Credentials";
  repeatable(
      app, "--credential,--proxy-credential", credential_, group,
      "NAME[=SOURCE]: give requests to its vendor the key; SOURCE is a keyring account, env://VAR, "
      "file:///path or keyring://service/account (repeatable)");
  repeatable(app, "--allow-endpoint", allow_endpoint_, group,
             "NAME:METHOD:PATH: what of a credential's vendor may be used");
}

void PolicyFlags::add_ca(CLI::App& app) {
  app.add_option("--proxy-ca-validity", ca_validity_, "DAYS: how long the interception CA is valid")
      ->check(CLI::Range(1U, 365U))
      ->group("Credentials");
}

void PolicyFlags::add_environment(CLI::App& app) {
  const std::string group = "Environment";
  repeatable(app, "--allow-env", allow_env_, group, "NAME: pass it although it looks secret");
  repeatable(app, "--set-env", set_env_, group, "NAME=VALUE: set it for the command");
}

void PolicyFlags::add_profile(CLI::App& app) {
  const std::string group = "Profile";
  app.add_option("-p,--profile", profile_,
                 "NAME: a profile's name, or a path to one (.json, .yaml)")
      ->group(group);
  repeatable(app, "--extends", extends_, group, "NAME: a further profile below it (repeatable)");
}

void PolicyFlags::add_audit(CLI::App& app) {
  const std::string group = "Audit";
  app.add_option("--audit-log", audit_log_,
                 "FILE: a JSON line per decision and end of connection goes there")
      ->group(group);
  app.add_option("--audit", audit_,
                 "MODE: required (refuse what cannot be recorded) or best-effort (default)")
      ->check(CLI::IsMember({"required", "best-effort"}))
      ->group(group);
}

void PolicyFlags::read_environment(const EnvLookup& env, For command) {
  if (allow_domain_.empty() && old_allow_domain_.empty()) {
    if (auto value = first_of(env, {"NONO_ALLOW_DOMAIN", "NONO_ALLOW_PROXY", "NONO_PROXY_ALLOW"})) {
      allow_domain_ = split_list(*value);
    }
  }
  if (credential_.empty()) {
    if (auto value = first_of(env, {"NONO_CREDENTIAL", "NONO_PROXY_CREDENTIAL"})) {
      credential_ = split_list(*value);
    }
  }
  if (network_profile_.empty()) {
    network_profile_ = first_of(env, {"NONO_NETWORK_PROFILE"}).value_or("");
  }
  if (profile_.empty()) profile_ = first_of(env, {"NONO_PROFILE"}).value_or("");
  if (upstream_proxy_.empty()) {
    upstream_proxy_ = first_of(env, {"NONO_UPSTREAM_PROXY", "NONO_EXTERNAL_PROXY"}).value_or("");
  }
  if (upstream_bypass_.empty()) {
    const auto value = first_of(env, {"NONO_UPSTREAM_BYPASS", "NONO_EXTERNAL_PROXY_BYPASS"});
    upstream_bypass_ = split_list(value.value_or(""));
  }
  if (!observe_) observe_ = yes_or_no(env, {"NONO_OBSERVE"});
  if (command == For::session) return;
  read_ca_validity(env);
  if (command == For::proxy) return;
  if (allow_.empty()) allow_ = split_list(first_of(env, {"NONO_ALLOW"}).value_or(""));
  if (!block_net_) block_net_ = yes_or_no(env, {"NONO_BLOCK_NET", "NONO_NET_BLOCK"});
}

void PolicyFlags::read_ca_validity(const EnvLookup& env) {
  const auto value = first_of(env, {"NONO_PROXY_CA_VALIDITY"});
  if (ca_validity_ || !value) return;
  unsigned days = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), days);
  const bool whole = error == std::errc() && end == value->data() + value->size();
  if (!whole || days < 1 || days > 365) {
    bad_variable_ = "NONO_PROXY_CA_VALIDITY takes days, 1 to 365";
  }
  ca_validity_ = days;
}

// The first of `names` that is set, read as a switch; what is no switch becomes bad_variable_.
bool PolicyFlags::yes_or_no(const EnvLookup& env, std::initializer_list<const char*> names) {
  const auto value = first_of(env, names);
  if (!value) return false;
  const std::string word = CLI::detail::to_lower(*value);
  const bool yes = word == "1" || word == "true" || word == "yes" || word == "on";
  const bool no = word == "0" || word == "false" || word == "no" || word == "off";
  if (!yes && !no) {
    bad_variable_ = std::string(*names.begin()) + " takes true or false, not '" + *value + "'";
  }
  return yes;
}

void PolicyFlags::note_deprecated(std::vector<std::string>& notes) const {
  if (!old_allow_domain_.empty()) {
    notes.emplace_back("--allow-proxy and --proxy-allow are deprecated; use --allow-domain");
  }
  if (!old_bypass_.empty()) {
    notes.emplace_back("--override-deny is deprecated; use --bypass-protection");
  }
}

void PolicyFlags::finish_files(Settings& settings) const {
  struct Kind {
    const Words& words;
    Access access;
    bool file;
    const char* flag;
  };
  const std::initializer_list<Kind> kinds{{allow_, Access::read_write, false, "--allow"},
                                          {read_, Access::read, false, "--read"},
                                          {write_, Access::write, false, "--write"},
                                          {allow_file_, Access::read_write, true, "--allow-file"},
                                          {read_file_, Access::read, true, "--read-file"},
                                          {write_file_, Access::write, true, "--write-file"}};
  for (const Kind& kind : kinds) {
    for (const std::string& path : kind.words) {
      settings.paths.push_back(PathRule{path, kind.access, kind.file, Origin{kind.flag}});
    }
  }
  for (const std::string& path : unix_socket_) {
    settings.unix_sockets.push_back(
        PathRule{path, Access::read, true, Origin{"--allow-unix-socket"}});
  }
  settings.unix_inside = unix_sockets_ == "inside";
  settings.bypass_protection = bypass_;
  settings.bypass_protection.insert(settings.bypass_protection.end(), old_bypass_.begin(),
                                    old_bypass_.end());
}

Result<void> PolicyFlags::finish_network(Settings& settings) const {
  settings.block_network = block_net_;
  if (observe_) settings.observe = true;
  if (!network_profile_.empty()) settings.network_profile = network_profile_;
  for (const Words* words : {&allow_domain_, &old_allow_domain_}) {
    for (const std::string& text : *words) {
      settings.allow_hosts.push_back(HostRule{text, {}, Origin{"--allow-domain"}});
    }
  }
  for (const std::string& text : deny_domain_) {
    settings.deny_hosts.push_back(HostRule{text, {}, Origin{"--deny-domain"}});
  }
  for (const std::string& text : allow_private_) {
    Result<Cidr> range = Cidr::parse(text);
    if (!range) return bad("--allow-private " + text + ": " + range.error().what);
    settings.allow_private.push_back(*range);
  }
  for (const std::string& text : dns_server_) {
    Result<HostPort> server = parse_host_port(text, Port(53));
    if (!server) return bad("--dns-server " + text + ": " + server.error().what);
    if (server->host.is_name())
      return bad("--dns-server " + text + ": an address is needed, not a name");
    settings.dns_servers.push_back(*server);
  }
  if (Result<void> ports = finish_ports(settings); !ports) return ports;
  for (const std::string& text : credential_) {
    const std::size_t equals = text.find('=');
    CredentialChoice choice{text.substr(0, equals), std::nullopt, Origin{"--credential"}};
    if (equals != std::string::npos) choice.source = text.substr(equals + 1);
    if (choice.name.empty() || (choice.source && choice.source->empty())) {
      return bad("--credential takes NAME or NAME=SOURCE, not '" + text + "'");
    }
    settings.credentials.push_back(std::move(choice));
  }
  settings.allow_endpoints = allow_endpoint_;
  settings.upstream_ca_files = upstream_ca_;
  if (!upstream_proxy_.empty()) settings.upstream_proxy = upstream_proxy_;
  settings.upstream_bypass = upstream_bypass_;
  if (proxy_port) {
    if (*proxy_port == 0) return bad("--proxy-port takes 1 to 65535");
    settings.proxy_port = proxy_port;
  }
  return {};
}

Result<void> PolicyFlags::finish_ports(Settings& settings) const {
  const auto read = [](const Words& words, const std::string& flag,
                       std::vector<PortRule>& out) -> Result<void> {
    for (const std::string& text : words) {
      const Result<Port> port = Port::parse(text);
      if (!port) return bad(flag + " takes 1 to 65535, not '" + text + "'");
      out.push_back({*port, Origin{flag}});
    }
    return {};
  };
  Result<void> open = read(open_port_, "--open-port", settings.open_ports);
  if (!open) return open;
  return read(listen_port_, "--listen-port", settings.listen_ports);
}

Result<void> PolicyFlags::finish_environment(Settings& settings) const {
  for (const std::string& name : allow_env_) {
    if (!variable_name(name)) return bad("--allow-env takes a variable's name, not '" + name + "'");
    settings.pass_env.push_back(name);
  }
  for (const std::string& text : set_env_) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || !variable_name(std::string_view(text).substr(0, equals))) {
      return bad("--set-env takes NAME=VALUE");
    }
    settings.set_env[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return {};
}

Result<PolicyOptions> PolicyFlags::finish(std::vector<std::string>& notes) const {
  if (!bad_variable_.empty()) return bad(bad_variable_);
  if (!extends_.empty() && profile_.empty()) return bad("--extends needs --profile");
  PolicyOptions options;
  if (!profile_.empty()) options.profile = profile_;
  options.extends = extends_;
  options.ca_validity_days = ca_validity_;
  if (!audit_log_.empty()) options.audit_log = audit_log_;
  options.audit_required = audit_ == "required";
  finish_files(options.settings);
  if (Result<void> done = finish_network(options.settings); !done) return fail(done.error());
  if (Result<void> done = finish_environment(options.settings); !done) return fail(done.error());
  note_deprecated(notes);
  return options;
}

}  // namespace nono::cli
