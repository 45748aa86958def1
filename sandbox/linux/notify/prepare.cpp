// The parent's part of the notify backend, before the fork.

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/notify/files.hpp"
#include "sandbox/linux/notify/notify.hpp"
#include "sandbox/linux/paths.hpp"

namespace nono::sandbox {
namespace {

constexpr int abi_with_net = 4;
constexpr int abi_with_scopes = 6;

Result<UniqueFd> listen_on_loopback(std::uint16_t& port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (!socket || ::bind(socket.get(), generic, size) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0 || ::getsockname(socket.get(), generic, &size) != 0) {
    return fail(errno_error(errno, "cannot listen on 127.0.0.1 for the proxy"));
  }
  port = ntohs(address.sin_port);
  return socket;
}

Result<void> check_weaknesses(const SandboxPlan& plan) {
  const int abi = landlock_abi();
  if (abi == 0) return fail(explain({Step::landlock, errno, {}}));
  for (Weakness weakness : missing_for_notify(abi)) {
    if (weakness == Weakness::no_landlock_net && plan.network == Network::open) continue;
    if (std::find(plan.accepted.begin(), plan.accepted.end(), weakness) != plan.accepted.end()) {
      continue;
    }
    return fail(
        ErrorCode::not_supported,
        fmt::format("cannot sandbox with the notify backend: this kernel's Landlock (ABI "
                    "{}) is too old, so {}",
                    abi, describe(weakness)),
        fmt::format("use Linux {} or newer, or accept that with --weak {}",
                    weakness == Weakness::no_landlock_net ? "6.7" : "6.12", to_string(weakness)));
  }
  return {};
}

std::string* find_variable(std::vector<std::string>& env, const std::string& name) {
  auto found = std::find_if(env.begin(), env.end(), [&](const std::string& entry) {
    return entry.starts_with(name + "=");
  });
  return found == env.end() ? nullptr : &*found;
}

void set_variable(std::vector<std::string>& env, const std::string& name,
                  const std::string& value) {
  std::string entry = name + "=" + value;
  if (std::string* old = find_variable(env, name)) {
    *old = std::move(entry);
  } else {
    env.push_back(std::move(entry));
  }
}

bool may_write(const SandboxPlan& plan, const std::string& path) {
  return std::any_of(plan.grants.begin(), plan.grants.end(), [&](const FsGrant& grant) {
    return grant.write && is_at_or_below(path, grant.path);
  });
}

// The plan's variable already names a granted place, or the usual one is granted.
bool needs_private_tmp(const SandboxPlan& plan, std::vector<std::string>& env) {
  if (!plan.private_tmp) return false;
  const std::string* variable = find_variable(env, "TMPDIR");
  return !may_write(plan, variable == nullptr ? "/tmp" : variable->substr(sizeof "TMPDIR"));
}

// glibc asks its name servers over TCP then, which is what there is.
void resolve_over_tcp(std::vector<std::string>& env) {
  const std::string* own = find_variable(env, "RES_OPTIONS");
  set_variable(env, "RES_OPTIONS",
               own == nullptr ? "use-vc" : own->substr(sizeof "RES_OPTIONS") + " use-vc");
}

Result<void> prepare_network(const SandboxPlan& plan, NotifyPrepared& notify) {
  notify.no_tcp = plan.network != Network::open;
  if (plan.network == Network::open) notify.filter_rules.connecting = Connecting::free;
  if (plan.network != Network::proxied) return {};
  notify.filter_rules.connecting = Connecting::asks;
  Result<std::shared_ptr<RegisteredPorts>> ports = RegisteredPorts::make();
  if (!ports) return fail(ports.error());
  notify.ports = *ports;
  RouteTable& routes = notify.routes;
  routes.proxy_port = plan.proxy.http.value();
  routes.all_ports = plan.capture.all_ports != AllPorts::off;
  routes.ports = plan.capture.ports;
  routes.loopback_ports = plan.capture.loopback_ports;
  notify.listen_ports = plan.listen_ports;
  notify.filter_rules.listening_asks = !plan.listen_ports.empty();

  Result<UniqueFd> proxy = listen_on_loopback(routes.proxy_listener);
  if (!proxy) return fail(proxy.error());
  notify.sockets.proxy = std::move(*proxy);
  if (routes.all_ports || !routes.ports.empty() || !routes.loopback_ports.empty()) {
    Result<UniqueFd> captured = listen_on_loopback(routes.capture_listener);
    if (!captured) return fail(captured.error());
    notify.sockets.captured.push_back(std::move(*captured));
    notify.sockets.all_ports = routes.all_ports;
  }
  if (plan.capture.dns) {
    Result<UniqueFd> dns = listen_on_loopback(routes.dns_listener);
    if (!dns) return fail(dns.error());
    notify.sockets.dns_tcp = std::move(*dns);
    resolve_over_tcp(notify.env);
  }
  return {};
}

}  // namespace

std::vector<Weakness> missing_for_notify(int landlock_abi) {
  std::vector<Weakness> missing;
  if (landlock_abi < abi_with_net) missing.push_back(Weakness::no_landlock_net);
  if (landlock_abi < abi_with_scopes) missing.push_back(Weakness::unscoped_signals);
  return missing;
}

Result<NotifyPrepared> prepare_notify(const SandboxPlan& plan) {
  if (Result<void> checked = check_weaknesses(plan); !checked) return fail(checked.error());
  NotifyPrepared notify;
  notify.env = plan.env;
  if (Result<void> made = prepare_network(plan, notify); !made) return fail(made.error());
  if (needs_private_tmp(plan, notify.env)) {
    Result<std::string> made = make_private_tmp();
    if (!made) return fail(made.error());
    notify.private_tmp = PrivateTmp(*made);
    set_variable(notify.env, "TMPDIR", *made);
  }
  Result<NotifyFiles> files = plan_files(plan, notify.private_tmp.path());
  if (!files) return fail(files.error());
  notify.rules = std::move(files->rules);
  if (std::string warning = taken_apart_warning(files->taken_apart); !warning.empty()) {
    notify.warnings.push_back(std::move(warning));
  }
  return notify;
}

}  // namespace nono::sandbox
