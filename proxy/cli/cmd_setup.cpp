// nono setup --check-only: what this machine enforces, found out by doing it.

#include <nlohmann/json.hpp>

#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/credentials.hpp"
#include "proxy/intercept/ca.hpp"
#include "sandbox/self_check.hpp"

namespace nono::cli {

namespace {

// What a run needs beside the sandbox. None of it decides whether this machine can sandbox.
std::vector<sandbox::CheckResult> check_services(const UserContext& user,
                                                 sandbox::CheckResult capture) {
  std::vector<sandbox::CheckResult> checks = {std::move(capture)};
  sandbox::CheckResult authority{"interception CA", false, "", ""};
  if (const auto made = intercept::CertificateAuthority::generate(); made) {
    authority.ok = true;
    authority.detail = "a P-256 authority can be made";
  } else {
    authority.detail = made.error().what;
    authority.remedy = made.error().fix;
  }
  checks.push_back(std::move(authority));

  sandbox::CheckResult keyring{"keyring", false, "", ""};
  const auto opened = open_keyring(user.env);
  const auto accounts = opened ? (*opened)->list(keystore::own_service)
                               : Result<std::vector<std::string>>(tl::unexpected(opened.error()));
  if (accounts) {
    keyring.ok = true;
    keyring.detail = std::to_string(accounts->size()) + " keys stored";
  } else {
    keyring.detail = accounts.error().what;
    keyring.remedy = accounts.error().fix;
  }
  checks.push_back(std::move(keyring));
  return checks;
}

nlohmann::json as_json(const std::vector<sandbox::CheckResult>& checks) {
  nlohmann::json list = nlohmann::json::array();
  for (const sandbox::CheckResult& check : checks) {
    list.push_back({{"name", check.name},
                    {"ok", check.ok},
                    {"detail", printable(check.detail)},
                    {"remedy", printable(check.remedy)}});
  }
  return list;
}

std::string as_text(const std::vector<sandbox::CheckResult>& checks) {
  std::string text;
  for (const sandbox::CheckResult& check : checks) {
    text += (check.ok ? "  ok    " : "  FAIL  ") + printable(check.name);
    if (!check.detail.empty()) text += ": " + printable(check.detail);
    if (!check.ok && !check.remedy.empty()) text += "; " + printable(check.remedy);
    text += "\n";
  }
  return text;
}

struct BackendCheck {
  sandbox::Backend backend;
  sandbox::SelfCheck check;
};

std::string title(const BackendCheck& one) {
  const bool first = one.backend == sandbox::Backend::netns;
  return std::string(sandbox::to_string(one.backend)) +
         (first ? " backend (namespaces; used where it works)\n"
                : " backend (no namespaces; used otherwise)\n");
}

// Which of them a run gets.
std::string verdict(const std::vector<BackendCheck>& backends) {
  for (const BackendCheck& one : backends) {
    if (!one.check.can_enforce) continue;
    return "This machine can sandbox, with the " + std::string(sandbox::to_string(one.backend)) +
           " backend.\n";
  }
  return "This machine cannot sandbox.\n";
}

nlohmann::json as_json(const std::vector<BackendCheck>& backends) {
  nlohmann::json all = nlohmann::json::object();
  for (const BackendCheck& one : backends) {
    all[std::string(sandbox::to_string(one.backend))] = {{"can_enforce", one.check.can_enforce},
                                                         {"checks", as_json(one.check.checks)}};
  }
  return all;
}

}  // namespace

int setup_command(const SetupOptions& options, const UserContext& user) {
  // These fork, so they come before the keyring starts its threads.
  std::vector<BackendCheck> backends;
  bool can_enforce = false;
  for (const sandbox::Backend backend : {sandbox::Backend::netns, sandbox::Backend::notify}) {
    Result<sandbox::SelfCheck> check = sandbox::self_check(backend);
    if (!check) return complain(check.error(), exit_no_sandbox);
    can_enforce = can_enforce || check->can_enforce;
    backends.push_back({backend, std::move(*check)});
  }
  Result<sandbox::CheckResult> capture = sandbox::check_capture_of_every_port();
  if (!capture) return complain(capture.error(), exit_no_sandbox);
  const sandbox::SelfCheck& machine = backends.front().check;
  const std::vector<sandbox::CheckResult> services = check_services(user, std::move(*capture));
  if (options.json) {
    const nlohmann::json result{{"version", NONO_VERSION},
                                {"kernel", machine.kernel},
                                {"landlock_abi", machine.landlock_abi},
                                {"can_enforce", can_enforce},
                                {"backends", as_json(backends)},
                                {"services", as_json(services)}};
    print_out(result.dump(2) + "\n");
  } else {
    std::string text = "nono " NONO_VERSION ", kernel " + printable(machine.kernel) +
                       ", Landlock ABI " + std::to_string(machine.landlock_abi) + "\n";
    for (const BackendCheck& one : backends) text += title(one) + as_text(one.check.checks);
    text += "beside that (not needed to sandbox)\n" + as_text(services);
    print_out(text + verdict(backends));
  }
  return can_enforce ? 0 : exit_no_sandbox;
}

}  // namespace nono::cli
