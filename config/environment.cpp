#include "config/environment.hpp"

#include <algorithm>
#include <cctype>
#include <set>

#include "config/expand.hpp"

namespace nono {
namespace {

bool in(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

// "NAME", or "NAME*" for every name that begins so.
bool matches(std::string_view name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
    if (!pattern.ends_with('*')) return name == pattern;
    pattern.remove_suffix(1);
    return name.starts_with(pattern);
  });
}

bool matches_exactly(std::string_view name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Where the ways out lead is nono's to say.
bool names_a_proxy(std::string_view name) {
  std::string folded = upper(name);
  return folded.ends_with("_PROXY") || folded.starts_with("NONO_") ||
         folded == "NODE_USE_ENV_PROXY";
}

// Sockets of agents, buses and displays: something outside that acts for whoever asks.
bool names_a_socket(std::string_view name) {
  return in(name, {"SSH_AUTH_SOCK",
                   "SSH_AGENT_PID",
                   "GPG_AGENT_INFO",
                   "DBUS_SESSION_BUS_ADDRESS",
                   "DBUS_SYSTEM_BUS_ADDRESS",
                   "DBUS_STARTER_ADDRESS",
                   "DISPLAY",
                   "WAYLAND_DISPLAY",
                   "XAUTHORITY",
                   "DOCKER_HOST",
                   "CONTAINER_HOST",
                   "PODMAN_HOST",
                   "KEYRING_CONTROL_PATH",
                   "GNOME_KEYRING_CONTROL",
                   "VSCODE_IPC_HOOK_CLI",
                   "VSCODE_GIT_IPC_HANDLE",
                   "SSH_ASKPASS",
                   "GIT_ASKPASS",
                   "SUDO_ASKPASS",
                   "TMUX",
                   "STY",
                   "SESSION_MANAGER",
                   "ICEAUTHORITY",
                   "AT_SPI_BUS_ADDRESS",
                   "PULSE_SERVER",
                   "PULSE_COOKIE",
                   "PIPEWIRE_REMOTE",
                   "SWAYSOCK",
                   "I3SOCK",
                   "HYPRLAND_INSTANCE_SIGNATURE",
                   "KITTY_LISTEN_ON",
                   "NVIM",
                   "NVIM_LISTEN_ADDRESS",
                   "GNOME_TERMINAL_SERVICE"});
}

// "/run/user/1000/bus", "unix:path=/run/user/1000/bus,guid=...", "unix:///run/docker.sock" where
// that socket is granted.
bool leads_to_granted_socket(std::string_view value, const SessionConfig& config) {
  if (config.sockets.empty()) return false;
  std::size_t start = value.find('/');
  if (start == std::string_view::npos) return false;
  std::string_view path = value.substr(start);
  path = path.substr(0, path.find_first_of(",;"));
  const std::string real = canonical_path(std::string(path));
  return std::any_of(config.sockets.begin(), config.sockets.end(),
                     [&](const PathGrant& socket) { return socket.path == real; });
}

// Descriptors and sockets of the service manager that started nono, not the command.
bool is_for_nono(std::string_view name) {
  return in(name, {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID",
                   "WATCHDOG_USEC"});
}

// "scheme://user:password@host", as database and index URLs often are.
bool holds_a_password(std::string_view value) {
  for (std::size_t at = value.find("://"); at != std::string_view::npos;
       at = value.find("://", at)) {
    at += 3;
    std::string_view authority = value.substr(at, value.find_first_of("/?# ", at) - at);
    std::size_t user_end = authority.rfind('@');
    if (user_end != std::string_view::npos &&
        authority.substr(0, user_end).find(':') != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

bool is_phantom(std::string_view name, const SessionConfig& config) {
  return std::any_of(config.credentials.begin(), config.credentials.end(),
                     [&](const CredentialRoute& route) {
                       return matches_exactly(name, route.phantom_vars) ||
                              matches_exactly(name, route.base_url_vars);
                     });
}

bool holds_a_secret(std::string_view value, std::span<const std::string_view> secrets) {
  return std::any_of(secrets.begin(), secrets.end(), [&](std::string_view secret) {
    return !secret.empty() && value.find(secret) != std::string_view::npos;
  });
}

enum class Verdict { pass, drop, withhold };

// NAME itself in environment.allow_vars, not only a pattern that it fits.
bool asked_for(std::string_view name, const SessionConfig& config) {
  return config.allow_env && matches_exactly(name, *config.allow_env);
}

Verdict judge(std::string_view name, std::string_view value, const SessionConfig& config,
              std::span<const std::string_view> secrets) {
  if (holds_a_secret(value, secrets)) return Verdict::withhold;
  if (names_a_proxy(name) || is_for_nono(name)) return Verdict::drop;
  if (is_phantom(name, config))
    return Verdict::drop;  // replaced, and the banner names the credential
  if (matches(name, config.deny_env)) return Verdict::drop;
  if (matches_exactly(name, config.pass_env)) return Verdict::pass;
  if (is_dangerous_variable(name)) return Verdict::drop;
  if (asked_for(name, config)) return Verdict::pass;
  bool listed =
      !config.allow_env || matches(name, *config.allow_env) || matches(name, config.pass_env);
  if (!listed) return Verdict::drop;
  bool secret = looks_secret(name) || holds_a_password(value) ||
                (names_a_socket(name) && !leads_to_granted_socket(value, config));
  return secret ? Verdict::withhold : Verdict::pass;
}

}  // namespace

bool looks_secret(std::string_view name) {
  std::string folded = upper(name);
  std::string words = "_" + folded;  // SECRET_KEY is as secret as MY_SECRET_KEY
  for (std::string_view part :
       {"_SECRET", "_PASSWORD", "_PASSWD", "_CREDENTIALS", "_PRIVATE_KEY"}) {
    if (words.find(part) != std::string::npos) return true;
  }
  for (std::string_view ending :
       {"_API_KEY", "_APIKEY", "_TOKEN", "_AUTHTOKEN", "_ACCESS_KEY", "_AUTH_KEY", "_SECRET_KEY",
        "_ENCRYPTION_KEY", "_SIGNING_KEY", "_PASSPHRASE", "_PAT", "_DSN", "_CONNECTION_STRING"}) {
    if (words.ends_with(ending)) return true;
  }
  for (std::string_view ending : {"_PASS", "_AUTH", "_COOKIE"}) {
    if (folded.ends_with(ending)) return true;  // alone each may mean something else
  }
  return in(folded, {"PGPASSWORD",
                     "PGPASSFILE",
                     "MYSQL_PWD",
                     "REDISCLI_AUTH",
                     "AWS_ACCESS_KEY_ID",
                     "AWS_SECRET_ACCESS_KEY",
                     "AWS_SESSION_TOKEN",
                     "AWS_SECURITY_TOKEN",
                     "AWS_WEB_IDENTITY_TOKEN_FILE",
                     "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                     "GOOGLE_APPLICATION_CREDENTIALS",
                     "KUBECONFIG",
                     "NETRC",
                     "NPM_CONFIG__AUTH",
                     "GIT_CONFIG_PARAMETERS",
                     "DOCKER_AUTH_CONFIG",
                     "SSH_PRIVATE_KEY",
                     "GPG_PRIVATE_KEY",
                     "AGE_KEY",
                     "SOPS_AGE_KEY"});
}

bool is_dangerous_variable(std::string_view name) {
  for (std::string_view start : {"LD_", "DYLD_", "BASH_FUNC_", "OP_SESSION_"}) {
    if (name.starts_with(start)) return true;
  }
  return in(name, {"BASH_ENV",
                   "ENV",
                   "CDPATH",
                   "GLOBIGNORE",
                   "PROMPT_COMMAND",
                   "IFS",
                   "PYTHONSTARTUP",
                   "PYTHONPATH",
                   "PYTHONHOME",
                   "NODE_OPTIONS",
                   "NODE_PATH",
                   "PERL5OPT",
                   "PERL5LIB",
                   "PERL5DB",
                   "RUBYOPT",
                   "RUBYLIB",
                   "GEM_PATH",
                   "GEM_HOME",
                   "JAVA_TOOL_OPTIONS",
                   "JDK_JAVA_OPTIONS",
                   "_JAVA_OPTIONS",
                   "DOTNET_STARTUP_HOOKS",
                   "GOFLAGS",
                   "GCONV_PATH",
                   "OP_SERVICE_ACCOUNT_TOKEN",
                   "OP_CONNECT_TOKEN",
                   "OP_CONNECT_HOST"});
}

ChildEnvironment build_environment(const std::vector<std::string>& parent,
                                   const SessionConfig& config,
                                   const std::map<std::string, std::string>& additions,
                                   std::span<const std::string_view> secret_values) {
  std::map<std::string, std::string> passed;
  std::set<std::string> withheld;
  for (const std::string& entry : parent) {
    std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) continue;
    std::string name = entry.substr(0, equals);
    std::string_view value = std::string_view(entry).substr(equals + 1);
    Verdict verdict = judge(name, value, config, secret_values);
    if (verdict == Verdict::pass) passed.insert_or_assign(name, std::string(value));
    if (verdict == Verdict::withhold) withheld.insert(name);
  }
  for (const auto& [name, value] : config.set_env) {
    if (is_phantom(name, config) || holds_a_secret(value, secret_values)) continue;
    passed.insert_or_assign(name, value);
    withheld.erase(name);
  }
  for (const auto& [name, value] : additions) {
    passed.insert_or_assign(name, value);
    withheld.erase(name);
  }
  ChildEnvironment child;
  for (const auto& [name, value] : passed) child.entries.push_back(name + "=" + value);
  child.withheld.assign(withheld.begin(), withheld.end());
  return child;
}

}  // namespace nono
