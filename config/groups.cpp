#include "config/groups.hpp"

#include <utility>

namespace nono {
namespace {

std::vector<GroupPath> read(std::vector<std::string> paths) {
  std::vector<GroupPath> grants;
  for (std::string& path : paths) grants.push_back({std::move(path), Access::read, false});
  return grants;
}

std::vector<GroupPath> read_write(std::vector<std::string> paths, bool file = false) {
  std::vector<GroupPath> grants;
  for (std::string& path : paths) grants.push_back({std::move(path), Access::read_write, file});
  return grants;
}

std::vector<GroupPath> both(std::vector<GroupPath> a, std::vector<GroupPath> b) {
  for (GroupPath& path : b) a.push_back(std::move(path));
  return a;
}

PathGroup grant(std::string name, std::vector<GroupPath> grants, bool always = false) {
  PathGroup group;
  group.name = std::move(name);
  group.grants = std::move(grants);
  group.always = always;
  return group;
}

PathGroup deny(std::string name, std::vector<std::string> denies) {
  PathGroup group;
  group.name = std::move(name);
  group.denies = std::move(denies);
  group.always = group.required = true;
  return group;
}

// What ordinary programs of a distribution open, found by tracing python3, pip, venv, node, npm,
// git, curl, bash, gcc and perl on Debian. Where a directory of /etc also holds private keys
// (ssl/private, pki/tls/private), only its public parts are here: a run as root could read the
// rest.
std::vector<GroupPath> system_read() {
  return read(
      {"/bin", "/sbin", "/lib*", "/usr/bin", "/usr/sbin", "/usr/games", "/usr/lib*", "/usr/share",
       "/usr/include", "/usr/etc", "/usr/local/bin", "/usr/local/sbin", "/usr/local/lib*",
       "/usr/local/share", "/usr/local/include", "/usr/local/etc",
       // Names and addresses.
       "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/hostname", "/etc/nsswitch.conf",
       "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/rpc", "/etc/netconfig",
       // Trust.
       "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/ca-certificates",
       "/etc/ca-certificates.conf", "/etc/pki/ca-trust", "/etc/pki/tls/certs",
       "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies",
       // The loader, users, time and language.
       "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload",
       "/etc/passwd", "/etc/group", "/etc/shells", "/etc/localtime", "/etc/timezone",
       "/etc/locale.conf", "/etc/locale.gen", "/etc/locale.alias", "/etc/default/locale",
       "/etc/os-release", "/etc/lsb-release", "/etc/debian_version", "/etc/terminfo",
       // Programs' own system-wide settings.
       "/etc/alternatives", "/etc/bash.bashrc", "/etc/profile", "/etc/profile.d", "/etc/inputrc",
       "/etc/gitconfig", "/etc/gitattributes", "/etc/python3*", "/etc/pip.conf", "/etc/npmrc",
       "/etc/perl", "/etc/java*", "/etc/maven", "/etc/mime.types", "/etc/magic",
       "/etc/manpath.config", "/etc/wgetrc", "/etc/curlrc", "/etc/xdg", "/etc/xattr.conf",
       "/etc/fonts", "/etc/vim", "/etc/lesskey", "/etc/nanorc",
       // The kernel. /proc is the sandbox's own.
       "/proc", "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup",
       "/sys/kernel/mm/transparent_hugepage"});
}

void add_default_grants(std::vector<PathGroup>& g) {
  g.push_back(grant("system_read_linux_core", system_read(), true));
  g.push_back(grant("devices",
                    both(read_write({"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                     "/dev/urandom", "/dev/tty", "/dev/ptmx"},
                                    true),
                         read_write({"/dev/pts"})),
                    true));
  g.push_back(grant("user_tools",
                    read({"~/.local/bin", "~/.local/share/applications", "~/.local/share/man",
                          "~/.local/share/bash-completion", "~/.local/share/zsh"}),
                    true));
  g.push_back(grant("homebrew_linux", read({"/home/linuxbrew/.linuxbrew", "~/.linuxbrew"}), true));

  // git ends with an error where its settings exist and cannot be read. Its stored passwords are
  // denied.
  g.push_back(grant("git_config",
                    read({"~/.gitconfig", "~/.config/git/config", "~/.config/git/ignore",
                          "~/.config/git/attributes"}),
                    true));
}

// No profile can exclude these.
void add_required_denies(std::vector<PathGroup>& g) {
  g.push_back(deny("deny_credentials", {"~/.ssh",
                                        "~/.gnupg",
                                        "~/.aws",
                                        "~/.azure",
                                        "~/.config/gcloud",
                                        "~/.gcloud",
                                        "~/.kube",
                                        "~/.docker",
                                        "~/.git-credentials",
                                        "~/.netrc",
                                        "~/.npmrc",
                                        "~/.vault-token",
                                        "~/.credentials",
                                        "~/.secrets",
                                        "~/.keys",
                                        "~/.pki",
                                        "~/.terraform.d",
                                        "~/.config/op",
                                        "~/.config/gh",
                                        "~/.pypirc",
                                        "~/.cargo/credentials",
                                        "~/.cargo/credentials.toml",
                                        "~/.config/git/credentials"}));
  g.push_back(deny("deny_keychains_linux",
                   {"~/.password-store", "~/.1password", "~/.op", "~/.local/share/keyrings"}));
  g.push_back(deny(
      "deny_browser_data_linux",
      {"~/.config/google-chrome", "~/.config/chromium", "~/.config/microsoft-edge",
       "~/.config/BraveSoftware", "~/.config/vivaldi", "~/.config/opera", "~/.mozilla/firefox"}));
  g.push_back(deny("deny_shell_history",
                   {"~/.bash_history", "~/.zsh_history", "~/.history", "~/.python_history"}));
  g.push_back(
      deny("deny_shell_configs", {"~/.zshrc", "~/.zprofile", "~/.zshenv", "~/.zlogin", "~/.zlogout",
                                  "~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.bash_logout",
                                  "~/.profile", "~/.config/fish", "~/.env", "~/.envrc"}));
}

// Included by name.
void add_optional_grants(std::vector<PathGroup>& g) {
  g.push_back(grant("linux_runtime_state", read({"/run", "/var/run"})));
  g.push_back(grant("linux_sysfs_read", read({"/sys"})));
  g.push_back(grant("linux_temp_read", read({"/tmp"})));
  g.push_back(grant("system_write_linux",
                    {{"/tmp", Access::write, false}, {"$TMPDIR", Access::write, false}}));
  g.push_back(grant("user_caches_linux", read_write({"~/.cache"})));
  g.push_back(grant("python_runtime", read({"~/.pyenv", "~/.local/lib", "~/.local/share/uv",
                                            "~/.conda", "~/.config/pip", "~/.config/uv"})));
  g.push_back(grant("node_runtime",
                    read({"~/.nvm", "~/.fnm", "~/.npm", "~/.node", "~/.local/share/fnm",
                          "~/.local/share/pnpm", "~/.volta", "/usr/local/lib/node_modules"})));
  // ~/.cargo by its parts: it also holds credentials.toml.
  g.push_back(grant("rust_runtime", read({"~/.cargo/bin", "~/.cargo/env", "~/.cargo/config.toml",
                                          "~/.cargo/registry", "~/.cargo/git", "~/.rustup"})));
  g.push_back(grant("go_runtime", read({"~/go", "/usr/local/go"})));
  g.push_back(grant("go_runtime_linux", read_write({"~/.cache/go-build"})));
  g.push_back(grant("java_runtime", read({"~/.sdkman", "~/.m2/repository", "~/.m2/wrapper",
                                          "~/.gradle/caches", "~/.gradle/wrapper"})));
  g.push_back(
      grant("nix_runtime", read({"/nix/store", "/nix/var/nix/profiles", "~/.nix-profile"})));
}

std::vector<PathGroup> make_groups() {
  std::vector<PathGroup> groups;
  add_default_grants(groups);
  add_required_denies(groups);
  add_optional_grants(groups);
  return groups;
}

}  // namespace

const std::vector<PathGroup>& path_groups() {
  static const std::vector<PathGroup> groups = make_groups();
  return groups;
}

const PathGroup* path_group(std::string_view name) {
  for (const PathGroup& group : path_groups()) {
    if (group.name == name) return &group;
  }
  return nullptr;
}

std::vector<std::string> path_group_names() {
  std::vector<std::string> names;
  for (const PathGroup& group : path_groups()) names.push_back(group.name);
  return names;
}

std::string_view meaningless_group(std::string_view name) {
  if (name == "dangerous_commands" || name == "dangerous_commands_linux") {
    return "no command is blocked by its name: the kernel confines what it does";
  }
  if (name == "unlink_protection" || name.ends_with("_macos")) return "it is for macOS only";
  return "";
}

}  // namespace nono
