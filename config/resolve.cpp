#include "config/resolve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <utility>

#include "config/base/printable.hpp"
#include "config/credentials.hpp"
#include "config/expand.hpp"
#include "config/grants.hpp"
#include "config/host_groups.hpp"
#include "config/registries.hpp"
#include "config/suggest.hpp"
#include "config/upstream_proxy.hpp"

namespace nono {
namespace {

bool from_flag(const Origin& origin) {
  return origin.text.empty() || origin.text.starts_with("--") || origin.text.starts_with("NONO_");
}

std::string named(const Origin& origin, std::string_view what) {
  return origin.text.empty() ? std::string(what) : fmt::format("{}: {}", origin.text, what);
}

bool is_group(std::string_view name) {
  return name == package_registries_group || host_group(name) != nullptr;
}

bool observes(const Settings& settings) {
  return settings.observe.value_or(false);
}

// Only `run` has a sandbox with ports of its own.
bool asks_for_ports(const Settings& settings, bool for_run) {
  return for_run && !(settings.open_ports.empty() && settings.listen_ports.empty());
}

bool asks_for_hosts(const Settings& settings, bool for_run) {
  return (settings.network_profile && !settings.network_profile->empty()) ||
         !settings.allow_hosts.empty() || !settings.credentials.empty() ||
         asks_for_ports(settings, for_run);
}

class Resolver {
 public:
  Resolver(const Settings& settings, const UserContext& user, const ResolveOptions& options)
      : settings_(settings), user_(user), options_(options) {}

  Result<SessionConfig> run() {
    if (!settings_.name.empty()) session_.name = settings_.name;
    session_.workdir_access = settings_.workdir_access.value_or(Access::read_write);
    if (session_.workdir_access == Access::none) session_.workdir_access = Access::read_write;
    session_.warnings = settings_.notes;
    network();
    environment();
    if (options_.for_run) {
      Result<void> files = resolve_files(settings_, user_, options_, session_);
      if (!files) note(files.error().what, files.error().fix);  // a line for each problem
    }
    if (problems_.empty()) return std::move(session_);
    return fail(ErrorCode::bad_input, fmt::format("{}", fmt::join(problems_, "\n")), fix_);
  }

 private:
  void problem(std::string_view text, std::string_view fix = {}) { note(printable(text), fix); }

  void note(std::string text, std::string_view fix) {
    problems_.push_back(std::move(text));
    if (fix_.empty()) fix_ = fix;
  }

  bool observes() const { return nono::observes(settings_); }
  bool asks_for_ports() const { return nono::asks_for_ports(settings_, options_.for_run); }
  bool asks_for_hosts() const { return nono::asks_for_hosts(settings_, options_.for_run); }

  // The first thing among what was asked for that came from the command line; empty if none did.
  std::string_view asked_by_flag() const {
    if (settings_.network_profile && !settings_.network_profile->empty() &&
        from_flag(settings_.network_profile_origin)) {
      return "--network-profile";
    }
    for (const HostRule& rule : settings_.allow_hosts) {
      if (from_flag(rule.origin)) return "--allow-domain";
    }
    for (const CredentialChoice& choice : settings_.credentials) {
      if (from_flag(choice.origin)) return "--credential";
    }
    if (!options_.for_run) return "";
    for (const PortRule& rule : settings_.open_ports) {
      if (from_flag(rule.origin)) return "--open-port";
    }
    for (const PortRule& rule : settings_.listen_ports) {
      if (from_flag(rule.origin)) return "--listen-port";
    }
    return "";
  }

  void network() {
    bool closed = filter_network(settings_, options_.for_run);
    session_.network.mode = closed ? NetworkMode::filtered : NetworkMode::open;
    if (settings_.block_network && !block()) return;
    for (const HostRule& rule : settings_.deny_hosts) add_host(rule, session_.network.deny);
    for (const HostRule& rule : settings_.allow_hosts) add_host(rule, session_.network.allow);
    add_network_profile();
    session_.network.allow_private = settings_.allow_private;
    session_.dns_servers = settings_.dns_servers;
    for (const CredentialChoice& choice : settings_.credentials) add_credential(choice);
    check_variables_differ();
    for (const std::string& text : settings_.allow_endpoints) add_endpoint(text);
    for (const std::string& file : settings_.upstream_ca_files) add_upstream_ca(file);
    add_upstream_proxy();
    add_ports();
    if (options_.for_run && settings_.proxy_port && !closed) {
      problem("--proxy-port without anything that needs the proxy",
              "add --allow-domain, --network-profile or --credential, or leave it out");
    }
    session_.network.observe = observes();
    if (observes()) {
      session_.warnings.emplace_back(
          "observing: what no rule allows and what deny rules name passes, and is recorded");
      return;
    }
    bool nothing = closed && problems_.empty() && session_.network.allow.empty() &&
                   session_.credentials.empty() && !asks_for_ports();
    if (nothing) session_.warnings.emplace_back("the network is filtered and nothing is allowed");
  }

  // --block-net wins over a profile. `network.block` in a profile that also allows hosts means
  // "only these", which is what rules mean anyway. False: the network is blocked.
  bool block() {
    bool flag = from_flag(settings_.block_origin);
    std::string_view asked = asked_by_flag();
    if (!asked.empty()) {
      std::string what = flag ? "--block-net" : named(settings_.block_origin, "network.block");
      problem(fmt::format("{} and {} are contradictory", what, asked), "leave one of them out");
      return true;
    }
    if (!flag && asks_for_hosts()) return true;
    if (observes()) {
      problem(fmt::format("{} and observing are contradictory",
                          flag ? "--block-net" : named(settings_.block_origin, "network.block")),
              "leave one of them out");
      return true;
    }
    session_.network.mode = NetworkMode::blocked;
    return false;
  }

  // `like` has the options that hold for each host of the group.
  void use_group(const std::string& name, const HostRule& like, std::vector<HostRule>& out) {
    const Origin& origin = like.origin;
    const auto add = [&](const std::string& text) {
      out.push_back({text, {}, {"group " + name}, like.any_sni, like.refuse_ech});
    };
    if (name == package_registries_group) {
      Result<RegistryHosts> hosts = registry_hosts(settings_, user_, options_);
      if (!hosts) return problem(named(origin, hosts.error().what), hosts.error().fix);
      for (const std::string& rule : hosts->rules) add(rule);
      for (const std::string& client : hosts->silent) {
        session_.warnings.push_back(fmt::format("{} did not say which hosts it uses", client));
      }
      return;
    }
    for (const std::string& host : *host_group(name)) add(host);
  }

  void add_host(const HostRule& rule, std::vector<HostRule>& out) {
    if (is_group(rule.text)) {
      if (!rule.endpoints.empty()) {
        return problem(
            named(rule.origin, rule.text + " is a group of hosts and takes no endpoints"));
      }
      session_.network.groups.push_back(rule.text);
      return use_group(rule.text, rule, out);
    }
    // A bare word close to a group's name is that group mistyped, rarely a host.
    bool bare = rule.text.find_first_of(".:/*") == std::string::npos;
    std::optional<std::string> near = bare ? nearest(rule.text, host_group_names()) : std::nullopt;
    if (near) {
      return problem(named(rule.origin, fmt::format("no host group is called {}; did you mean {}?",
                                                    rule.text, *near)),
                     fmt::format("for a host of that name write {}:443", rule.text));
    }
    out.push_back(rule);
  }

  void add_network_profile() {
    if (!settings_.network_profile || settings_.network_profile->empty()) return;
    const std::string& name = *settings_.network_profile;
    Origin origin = settings_.network_profile_origin;
    if (origin.text.empty()) origin.text = "--network-profile";
    const std::vector<std::string>* groups = network_profile(name);
    if (groups == nullptr) {
      return problem(named(origin, fmt::format("no network profile is called {}{}", name,
                                               suggestion(name, network_profile_names()))));
    }
    session_.network.groups.push_back(name);
    const HostRule plain{"", {}, origin};
    for (const std::string& group : *groups) use_group(group, plain, session_.network.allow);
  }

  std::vector<std::string> credential_names() const {
    std::vector<std::string> names;
    for (const CredentialRoute& route : builtin_credentials()) names.push_back(route.name);
    for (const auto& entry : settings_.custom_credentials) names.push_back(entry.first);
    return names;
  }

  void add_credential(const CredentialChoice& choice) {
    auto custom = settings_.custom_credentials.find(choice.name);
    const CredentialRoute* route = custom != settings_.custom_credentials.end()
                                       ? &custom->second
                                       : builtin_credential(choice.name);
    if (route == nullptr) {
      std::string_view flag = choice.origin.text.empty() ? "--credential: " : "";
      return problem(
          named(choice.origin, fmt::format("{}no credential is called {}{}", flag, choice.name,
                                           suggestion(choice.name, credential_names()))),
          "define others in a profile's network.custom_credentials");
    }
    CredentialRoute enabled = *route;
    if (choice.source) enabled.sources = {*choice.source};
    session_.credentials.push_back(std::move(enabled));
  }

  // Two routes in one variable: the command could hold only one of the two phantoms.
  void check_variables_differ() {
    std::map<std::string, std::string> owners;
    for (const CredentialRoute& route : session_.credentials) {
      for (const std::string& variable : route.phantom_vars) {
        auto [owner, fresh] = owners.emplace(variable, route.name);
        if (fresh || owner->second == route.name) continue;
        problem(
            fmt::format("credentials {} and {} both set {}", owner->second, route.name, variable),
            "enable one of them");
        break;
      }
    }
  }

  void add_endpoint(const std::string& text) {
    std::size_t first = text.find(':');
    std::size_t second = first == std::string::npos ? first : text.find(':', first + 1);
    std::string path = second == std::string::npos ? "" : text.substr(second + 1);
    if (!path.starts_with('/') || first == 0 || second == first + 1) {
      return problem(fmt::format("--allow-endpoint {}: expected SERVICE:METHOD:/PATH", text),
                     "for example openai:POST:/v1/chat/completions");
    }
    std::string service = text.substr(0, first);
    for (CredentialRoute& route : session_.credentials) {
      if (route.name != service) continue;
      route.endpoints.push_back(
          {text.substr(first + 1, second - first - 1), path, {"--allow-endpoint " + text}});
      return;
    }
    problem(fmt::format("--allow-endpoint {}: credential {} is not enabled", text, service),
            fmt::format("add --credential {}", service));
  }

  void add_upstream_ca(const std::string& file) {
    Result<std::string> path = expand_path(file, user_);
    if (!path) return problem("--upstream-ca: " + path.error().what);
    if (::faccessat(AT_FDCWD, path->c_str(), R_OK, AT_EACCESS) != 0) {
      return problem(fmt::format("--upstream-ca {}: {}", file, std::strerror(errno)));  // NOLINT
    }
    session_.upstream_ca_files.push_back(*path);
  }

  void add_upstream_proxy() {
    if (!settings_.upstream_proxy) {
      if (!settings_.upstream_bypass.empty()) problem("--upstream-bypass needs --upstream-proxy");
      return;
    }
    Result<UpstreamProxy> proxy =
        parse_upstream_proxy(*settings_.upstream_proxy, settings_.upstream_bypass);
    if (!proxy) return problem(proxy.error().what, proxy.error().fix);
    session_.upstream_proxy = std::move(*proxy);
  }

  void add_ports() {
    if (!options_.for_run) return;
    for (const PortRule& rule : settings_.open_ports) {
      session_.network.open_ports.push_back(rule.port);
    }
    for (const PortRule& rule : settings_.listen_ports) {
      const std::vector<Port>& open = session_.network.open_ports;
      if (std::find(open.begin(), open.end(), rule.port) != open.end()) {
        problem(fmt::format("port {} is both an open port and a listen port", rule.port.value()),
                "--open-port N leads to this machine's server, --listen-port N to the command's; "
                "one port cannot be both");
      }
      session_.listen_ports.push_back(rule.port);
    }
  }

  void environment() {
    for (const auto& entry : settings_.set_env) {
      const std::string& name = entry.first;
      bool good = !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
                  std::all_of(name.begin(), name.end(), [](char c) {
                    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
                  });
      if (!good) problem(fmt::format("--set-env: '{}' is no variable name", name));
      if (name.starts_with("NONO_")) problem(fmt::format("--set-env: {} is nono's own", name));
    }
    session_.allow_env = settings_.allow_env;
    session_.pass_env = settings_.pass_env;
    session_.deny_env = settings_.deny_env;
    session_.set_env = settings_.set_env;
  }

  const Settings& settings_;
  const UserContext& user_;
  const ResolveOptions& options_;
  SessionConfig session_;
  std::vector<std::string> problems_;
  std::string fix_;
};

}  // namespace

bool filter_network(const Settings& settings, bool for_run) {
  return asks_for_hosts(settings, for_run) || !settings.deny_hosts.empty() ||
         !settings.allow_private.empty() || !settings.dns_servers.empty() ||
         settings.upstream_proxy.has_value() || observes(settings);
}

Result<SessionConfig> resolve(const Settings& settings, const UserContext& user,
                              const ResolveOptions& options) {
  return Resolver(settings, user, options).run();
}

}  // namespace nono
