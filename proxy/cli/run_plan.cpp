#include "proxy/cli/run_plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "config/expand.hpp"
#include "config/resolve.hpp"
#include "proxy/cli/capture_plan.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/session_settings.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

namespace {

constexpr std::string_view bundle_name = "ca-bundle.pem";

bool below(const std::string& path, const std::string& root) {
  return path == root || root == "/" || path.starts_with(root + "/");
}

bool covers(const std::vector<PathGrant>& grants, const std::string& path) {
  return std::any_of(grants.begin(), grants.end(), [&](const PathGrant& grant) {
    return !grant.file && grant.access != Access::none && below(path, grant.path);
  });
}

bool writable(const std::vector<PathGrant>& grants, const std::string& path) {
  return std::any_of(grants.begin(), grants.end(), [&](const PathGrant& grant) {
    const bool writes = grant.access == Access::write || grant.access == Access::read_write;
    return !grant.system && writes && below(path, grant.path);
  });
}

std::string in_words(Access access) {
  if (access == Access::read) return "read";
  return access == Access::write ? "write" : "read and write";
}

// Without --allow-cwd: asks on a terminal, otherwise says what is missing.
bool share_cwd(const RunOptions& options, const SessionConfig& config, const UserContext& user,
               std::vector<std::string>& warnings) {
  if (config.workdir_access == Access::none || covers(config.grants, user.cwd)) return false;
  const bool can_ask = stdin_is_terminal() && stderr_is_terminal();
  if (can_ask && !options.common.silent && !options.dry_run) {
    return ask("nono: share " + printable(user.cwd) + " with " + in_words(config.workdir_access) +
               " access?");
  }
  warnings.push_back("the command cannot use " + user.cwd + "; --allow-cwd grants it");
  return false;
}

// The values of the parent's variables that hold an enabled credential's key: no other variable may
// carry them in under another name.
std::vector<std::string> credential_values(const SessionConfig& config, const EnvLookup& env) {
  std::vector<std::string> values;
  for (const CredentialRoute& route : config.credentials) {
    for (const std::string& source : route.sources) {
      if (!source.starts_with("env://")) continue;
      std::optional<std::string> value = env(source.substr(6));
      // Very short values would match by chance.
      if (value && value->size() >= 8) values.push_back(std::move(*value));
    }
  }
  return values;
}

std::vector<std::string> parent_environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    entries.emplace_back(*entry);
  }
  return entries;
}

// As load_profile() tells a path from a name.
bool is_path(const std::string& profile) {
  return profile.find('/') != std::string::npos || profile.ends_with(".json") ||
         profile.ends_with(".jsonc") || profile.ends_with(".yaml") || profile.ends_with(".yml");
}

// Policy and records the command must not change although a grant may hold them.
std::vector<std::string> protected_paths(const RunOptions& options, const UserContext& user,
                                         const SessionConfig& config,
                                         const std::string& audit_log) {
  std::vector<std::string> wanted{user.config_dir, user.state_dir};
  std::vector<std::string> profiles = options.policy.extends;
  if (options.policy.profile) profiles.push_back(*options.policy.profile);
  for (const std::string& profile : profiles) {
    if (is_path(profile)) wanted.push_back(absolute(profile, user));
  }
  wanted.insert(wanted.end(), config.policy_files.begin(), config.policy_files.end());
  if (!audit_log.empty()) wanted.push_back(audit_log);
  std::vector<std::string> existing;
  for (const std::string& path : wanted) {
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(path, error);
    if (!error) existing.push_back(real.string());
  }
  return existing;
}

sandbox::Network network_of(NetworkMode mode) {
  if (mode == NetworkMode::open) return sandbox::Network::open;
  return mode == NetworkMode::blocked ? sandbox::Network::blocked : sandbox::Network::proxied;
}

void add_paths(const SessionConfig& config, sandbox::SandboxPlan& plan) {
  for (const PathGrant& grant : config.grants) {
    if (grant.access == Access::none) continue;
    const bool read = grant.access != Access::write;
    const bool write = grant.access != Access::read;
    plan.grants.push_back(sandbox::FsGrant{grant.path, read, write, !grant.file, grant.bypass});
  }
  for (const PathGrant& socket : config.sockets) {
    plan.grants.push_back(sandbox::FsGrant{socket.path, true, false, false, socket.bypass, true});
  }
  if (config.unix_inside) plan.unix_sockets = sandbox::UnixSockets::inside;
  for (const DenyPath& deny : config.denies) {
    plan.denies.push_back(sandbox::FsDeny{deny.path, deny.origin, deny.own});
  }
}

// True where the inherited TMPDIR can be written inside; otherwise the private /tmp takes its
// place.
bool temporary_directory_granted(const sandbox::SandboxPlan& plan, const UserContext& user) {
  const std::optional<std::string> inherited = user.env("TMPDIR");
  if (!inherited || *inherited == "/tmp") return true;
  std::error_code error;
  const std::string real = std::filesystem::canonical(*inherited, error).string();
  if (error) return false;
  return std::any_of(plan.grants.begin(), plan.grants.end(), [&](const sandbox::FsGrant& grant) {
    const std::string below = grant.path == "/" ? "/" : grant.path + "/";
    return grant.write && (real == grant.path || real.starts_with(below));
  });
}

// Settings, command and configuration.
struct Decided {
  SessionConfig config;
  ResolvedCommand command;
  std::vector<std::string> warnings;
  std::optional<std::uint16_t> proxy_port;
  sandbox::Ahead ahead;
};

// While the rest is decided. What would not be used costs time, too, and is ended.
sandbox::Ahead begin_ahead(const RunOptions& options, const Settings& settings,
                           const sandbox::Remembered& known, sandbox::Ahead ahead) {
  const bool proxied = filter_network(settings) && !settings.block_network;
  const bool netns = options.backend.value_or(sandbox::Backend::netns) == sandbox::Backend::netns;
  const bool limited = options.limits.memory_bytes || options.limits.processes;
  const bool usual = !limited && !options.diagnose && options.user.empty() &&
                     options.capture_all_ports != sandbox::AllPorts::off;
  if (!proxied || !netns || !usual || options.dry_run) return {};
  if (ahead.begun() == nullptr) ahead = sandbox::Ahead::begin();
  const bool required = options.capture_all_ports == sandbox::AllPorts::required;
  if (known.found.every_port && !required) ahead.know_every_port();
  return ahead;
}

tl::expected<Decided, RunFailure> decide(const RunOptions& options, const UserContext& user,
                                         const sandbox::Remembered& known,
                                         sandbox::Ahead ahead) {
  const auto failed = [](const Error& error, int code) {
    return tl::unexpected<RunFailure>(RunFailure{error, code});
  };
  const Result<Settings> settings = load_settings(options.policy, user);
  if (!settings) return failed(settings.error(), exit_error);
  Decided decided;
  decided.ahead = begin_ahead(options, *settings, known, std::move(ahead));
  Result<ResolvedCommand> command = find_command(options.command, user);
  if (!command) {
    const ErrorCode code = command.error().code;
    const int exit_code = code == ErrorCode::name_not_found ? 127
                          : code == ErrorCode::refused      ? 126
                                                            : 1;
    return failed(command.error(), exit_code);
  }
  ResolveOptions how;
  how.allow_cwd = options.allow_cwd;
  how.command = &*command;
  Result<SessionConfig> config = resolve(*settings, user, how);
  if (!config) return failed(config.error(), exit_error);
  if (!options.allow_cwd && share_cwd(options, *config, user, decided.warnings)) {
    how.allow_cwd = true;
    config = resolve(*settings, user, how);
    if (!config) return failed(config.error(), exit_error);
  }
  if (Result<void> checked = check_proxy_flags(options.policy, *config); !checked) {
    return failed(checked.error(), exit_error);
  }
  decided.warnings.insert(decided.warnings.end(), config->warnings.begin(), config->warnings.end());
  decided.config = std::move(*config);
  decided.command = std::move(*command);
  decided.proxy_port = settings->proxy_port;
  return decided;
}

// What the command could create in nono's place is made before it, to be hidden from it.
Result<void> make_own_places(const SessionConfig& config) {
  for (const std::string& place : config.own_places_to_make) {
    std::error_code error;
    std::filesystem::create_directories(place, error);
    if (!error) {
      std::filesystem::permissions(place, std::filesystem::perms::owner_all, error);
    }
    if (error) {
      return fail(ErrorCode::io, "cannot make " + place + ", nono's own: " + error.message(),
                  "make it, or grant nothing that holds it");
    }
  }
  return {};
}

// The place of the CA bundle, granted to the command, and the log's file.
Result<void> create_files(const RunOptions& options, const UserContext& user, RunPlan& plan) {
  if (Result<void> made = make_own_places(plan.config); !made) return made;
  if (needs_interception(plan.config)) {
    Result<PrivateDirectory> directory = PrivateDirectory::make(user);
    if (!directory) return fail(directory.error());
    plan.directory.emplace(std::move(*directory));
    Result<UniqueFd> bundle = plan.directory->create(std::string(bundle_name));
    if (!bundle) return fail(bundle.error());
    plan.bundle = std::move(*bundle);
    plan.sandbox.grants.push_back(
        sandbox::FsGrant{plan.directory->path(), true, false, true, true});
  }
  if (plan.config.network.mode != NetworkMode::filtered) return {};
  const std::string log = audit_log_path(options.policy.audit_log, user);
  for (const std::string& link : links_on_the_way(log)) {
    if (!writable(plan.config.grants, link)) continue;
    return fail(
        ErrorCode::bad_input,
        "the audit log is reached by the link " + link + ", which the command could replace",
        "name the file that it leads to with --audit-log");
  }
  Result<void> prepared = prepare_audit_log(log);
  if (prepared) {
    plan.audit_log = log;
  } else if (options.policy.audit_log || options.policy.audit_required) {
    return prepared;
  } else {
    plan.warnings.push_back("nothing is recorded: " + prepared.error().what);
  }
  return {};
}

}  // namespace

tl::expected<RunPlan, RunFailure> make_run_plan(const RunOptions& options,
                                                const UserContext& caller, sandbox::Ahead ahead) {
  const Result<std::optional<RunAs>> as = resolve_run_as(options.user, caller);
  if (!as) return tl::unexpected<RunFailure>(RunFailure{as.error(), exit_error});
  const UserContext user = *as ? context_of(**as, caller) : caller;
  RunPlan plan;
  if (!caller.state_dir.empty()) plan.known = sandbox::recall(caller.state_dir + "/backend");
  tl::expected<Decided, RunFailure> decided = decide(options, user, plan.known, std::move(ahead));
  if (!decided) return tl::unexpected<RunFailure>(decided.error());
  plan.config = std::move(decided->config);
  plan.warnings = std::move(decided->warnings);
  plan.ahead = std::move(decided->ahead);
  plan.sandbox.argv = decided->command.argv;
  plan.sandbox.executable = decided->command.path;
  plan.sandbox.cwd = user.cwd;
  plan.sandbox.diagnose = options.diagnose;
  plan.sandbox.limits = options.limits;
  if (*as) plan.sandbox.user = sandbox::RunUser{(*as)->uid, (*as)->gid};
  const std::string hint = foreign_directory_hint(user);
  if (!hint.empty() && writable(plan.config.grants, user.cwd)) plan.warnings.push_back(hint);
  plan.sandbox.network = network_of(plan.config.network.mode);
  if (plan.config.network.mode == NetworkMode::filtered) {
    plan.sandbox.capture = plan_capture(plan.config, options.capture_all_ports);
    Result<Port> port = choose_proxy_port(decided->proxy_port, plan.sandbox.capture);
    if (!port) return tl::unexpected<RunFailure>(RunFailure{port.error(), exit_error});
    plan.sandbox.proxy.http = *port;
  }
  add_paths(plan.config, plan.sandbox);
  if (!options.dry_run) {
    if (Result<void> created = create_files(options, user, plan); !created) {
      return tl::unexpected<RunFailure>(RunFailure{created.error(), exit_error});
    }
  }
  plan.sandbox.read_only_paths = protected_paths(options, user, plan.config, plan.audit_log);
  if (plan.directory) plan.sandbox.read_only_paths.push_back(plan.directory->path());

  std::map<std::string, std::string> additions;
  if (plan.config.network.mode == NetworkMode::filtered) {
    plan.token = make_token();
    plan.credentials = plan_credentials(plan.config);
    ProxyAccess access;
    access.authority = "127.0.0.1:" + std::to_string(plan.sandbox.proxy.http.value());
    access.token = plan.token;
    if (plan.directory) access.ca_bundle = plan.directory->path() + "/" + std::string(bundle_name);
    additions = proxy_variables(access, plan.credentials);
    if (access.ca_bundle) additions.merge(redirected_ca_variables(user.env, *access.ca_bundle));
  }
  if (!temporary_directory_granted(plan.sandbox, user)) additions["TMPDIR"] = "/tmp";
  const std::vector<std::string> values = credential_values(plan.config, user.env);
  const std::vector<std::string_view> views(values.begin(), values.end());
  std::vector<std::string> inherited = parent_environment();
  if (*as) inherited = environment_of(**as, std::move(inherited));
  ChildEnvironment environment = build_environment(inherited, plan.config, additions, views);
  plan.sandbox.env = std::move(environment.entries);
  plan.withheld = std::move(environment.withheld);
  return plan;
}

}  // namespace nono::cli
