#include "sandbox/macos/profile.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

namespace nono::sandbox {
namespace {

// What any program needs in order to start: the linker, its libraries, time zones.
constexpr const char* base_directories[] = {
    "/System/Library",
    "/System/Cryptexes",
    "/System/Volumes/Preboot/Cryptexes",
    "/Library/Apple",
    "/usr/lib",
    "/usr/share",
    "/private/var/db/dyld",
    "/private/var/db/timezone",
};

// By name, never all of them: launchd, LaunchServices, the pasteboard, the keychain and the
// preferences daemon do things outside the sandbox for whoever asks, and mDNSResponder resolves
// names, which carries them out. trustd is not here because it fetches what a certificate names.
constexpr const char* mach_services[] = {
    "com.apple.bsd.dirhelper",
    "com.apple.diagnosticd",
    "com.apple.logd",
    "com.apple.system.DirectoryService.libinfo_v1",
    "com.apple.system.DirectoryService.membership_v1",
    "com.apple.system.logger",
    "com.apple.system.notification_center",
    "com.apple.system.opendirectoryd.libinfo",
    "com.apple.system.opendirectoryd.membership",
};

// "(subpath ...)" or "(literal ...)", in each form of the path.
std::string place(const std::string& path, bool directory) {
  std::string text;
  for (const std::string& form : forms_of(path)) {
    text += directory ? " (subpath " : " (literal ";
    text += quoted(form) + ")";
  }
  return text;
}

std::string rule(std::string_view verb, std::string_view operations, const std::string& where) {
  return "(" + std::string(verb) + " " + std::string(operations) + where + ")\n";
}

void add_base(std::string& text) {
  text +=
      "(version 1)\n"
      "(deny default)\n"
      "(allow process-fork)\n"
      "(allow signal (target same-sandbox))\n"
      "(allow process-info* (target same-sandbox))\n"
      "(allow sysctl-read)\n"
      "(allow file-read-metadata)\n"
      "(allow file-read-data (literal \"/\"))\n"
      "(allow ipc-posix-shm-read-data (ipc-posix-name \"apple.shm.notification_center\"))\n";
  for (const char* directory : base_directories) {
    text += rule("allow", "file-read* file-map-executable process-exec", place(directory, true));
  }
  for (const char* device : {"/dev/null", "/dev/zero", "/dev/tty"}) {
    text += rule("allow", "file-read* file-write-data file-ioctl", place(device, false));
  }
  for (const char* device : {"/dev/random", "/dev/urandom"}) {
    text += rule("allow", "file-read*", place(device, false));
  }
  text += "(allow mach-lookup\n";
  for (const char* service : mach_services) {
    text += "  (global-name " + quoted(service) + ")\n";
  }
  text += ")\n";
}

void add_grant(std::string& text, const FsGrant& grant) {
  const std::string where = place(grant.path, grant.directory);
  if (grant.read) text += rule("allow", "file-read* file-map-executable process-exec", where);
  if (grant.write) text += rule("allow", "file-write*", where);
}

void add_files(std::string& text, const SandboxPlan& plan, const SeatbeltFacts& facts) {
  for (const FsGrant& grant : plan.grants) add_grant(text, grant);
  if (!facts.private_directory.empty()) {
    add_grant(text, {facts.private_directory, true, true, true});
  }
  for (const std::string& terminal : facts.terminals) {
    text += rule("allow", "file-read* file-write-data file-ioctl", place(terminal, false));
  }
}

// The directories above, nearest last, "/" excepted.
std::vector<std::string> ancestors_of(const std::string& path) {
  std::vector<std::string> above;
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    above.push_back(path.substr(0, slash));
  }
  return above;
}

// A directory above a protected path must not be moved away from under it.
void pin_ancestors(std::string& text, const std::vector<std::string>& paths) {
  std::set<std::string> pinned;
  for (const std::string& path : paths) {
    for (std::string& above : ancestors_of(path)) pinned.insert(std::move(above));
  }
  for (const std::string& path : pinned) {
    text += rule("deny", "file-write-unlink", place(path, false));
  }
}

void add_denies(std::string& text, const SandboxPlan& plan) {
  std::vector<std::string> denied;
  for (const FsDeny& deny : plan.denies) denied.push_back(deny.path);
  std::sort(denied.begin(), denied.end());
  denied.erase(std::unique(denied.begin(), denied.end()), denied.end());
  for (const std::string& path : plan.read_only_paths) {
    text += rule("deny", "file-write*", place(path, true));
  }
  for (const std::string& path : denied) {
    text +=
        rule("deny", "file-read* file-write* file-map-executable process-exec", place(path, true));
  }
  denied.insert(denied.end(), plan.read_only_paths.begin(), plan.read_only_paths.end());
  pin_ancestors(text, denied);
}

std::string loopback(Port port) {
  return "\"localhost:" + std::to_string(port.value()) + "\"";
}

// Unix sockets are network operations as well: none is allowed here.
void add_network(std::string& text, const SandboxPlan& plan, const SeatbeltFacts& facts) {
  text += "(deny network*)\n";
  if (plan.network == Network::open) {
    // Nothing is kept back, so neither are names: the resolver is reached.
    text +=
        "(allow network-outbound (remote ip \"*:*\"))\n"
        "(allow network-bind (local ip \"*:*\"))\n"
        "(allow network-inbound (local ip \"*:*\"))\n"
        "(allow network-outbound (literal \"/private/var/run/mDNSResponder\"))\n";
  }
  if (plan.network == Network::proxied) {
    text += rule("allow", "network-outbound", " (remote tcp " + loopback(plan.proxy.http) + ")");
  }
  if (plan.network == Network::open) return;
  for (const Port port : facts.open_ports) {
    text += rule("allow", "network-outbound", " (remote tcp " + loopback(port) + ")");
  }
  for (const Port port : facts.listen_ports) {
    text += rule("allow", "network-bind", " (local ip " + loopback(port) + ")");
    text += rule("allow", "network-inbound", " (local ip " + loopback(port) + ")");
  }
}

// Ways to have something done by a process that is not confined.
void add_refusals(std::string& text) {
  text +=
      "(deny appleevent-send)\n"
      "(deny lsopen)\n"
      "(deny job-creation)\n";
}

Result<void> check(const std::string& path) {
  const bool plain = std::none_of(path.begin(), path.end(), [](char c) {
    return std::iscntrl(static_cast<unsigned char>(c)) != 0;
  });
  if (plain && path.starts_with('/')) return {};
  return fail(ErrorCode::bad_input,
              "a path with a control character, or one that is not absolute, cannot be part of the "
              "sandbox: " +
                  path);
}

Result<void> check_paths(const SandboxPlan& plan, const SeatbeltFacts& facts) {
  std::vector<std::string> paths = plan.read_only_paths;
  for (const FsGrant& grant : plan.grants) paths.push_back(grant.path);
  for (const FsDeny& deny : plan.denies) paths.push_back(deny.path);
  paths.insert(paths.end(), facts.terminals.begin(), facts.terminals.end());
  if (!facts.private_directory.empty()) paths.push_back(facts.private_directory);
  for (const std::string& path : paths) {
    if (Result<void> checked = check(path); !checked) return checked;
  }
  return {};
}

}  // namespace

std::string quoted(const std::string& path) {
  std::string text = "\"";
  for (const char letter : path) {
    if (letter == '"' || letter == '\\') text += '\\';
    text += letter;
  }
  return text + "\"";
}

std::vector<std::string> forms_of(const std::string& path) {
  const auto is_in = [&](const std::string& folder) {
    return path == folder || path.starts_with(folder + "/");
  };
  for (const char* linked : {"/var", "/tmp", "/etc"}) {
    const std::string real = std::string("/private") + linked;
    if (is_in(linked)) return {path, "/private" + path};
    if (is_in(real)) return {path.substr(real.size() - std::string_view(linked).size()), path};
  }
  return {path};
}

Result<std::string> seatbelt_profile(const SandboxPlan& plan, const SeatbeltFacts& facts) {
  if (Result<void> checked = check_paths(plan, facts); !checked) return fail(checked.error());
  std::string text;
  add_base(text);
  add_files(text, plan, facts);
  add_network(text, plan, facts);
  add_refusals(text);
  add_denies(text, plan);
  return text;
}

}  // namespace nono::sandbox
