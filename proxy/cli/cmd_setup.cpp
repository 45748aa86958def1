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
std::vector<sandbox::CheckResult> check_services(const UserContext& user) {
  std::vector<sandbox::CheckResult> checks;
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

}  // namespace

int setup_command(const SetupOptions& options, const UserContext& user) {
  // Forks, so it comes before the keyring starts its threads.
  const Result<sandbox::SelfCheck> sandbox = sandbox::self_check();
  if (!sandbox) return complain(sandbox.error(), exit_no_sandbox);
  const std::vector<sandbox::CheckResult> services = check_services(user);
  if (options.json) {
    const nlohmann::json result{{"version", NONO_VERSION},
                                {"kernel", sandbox->kernel},
                                {"landlock_abi", sandbox->landlock_abi},
                                {"can_enforce", sandbox->can_enforce},
                                {"sandbox", as_json(sandbox->checks)},
                                {"services", as_json(services)}};
    print_out(result.dump(2) + "\n");
  } else {
    std::string text = "nono " NONO_VERSION ", kernel " + printable(sandbox->kernel) +
                       ", Landlock ABI " + std::to_string(sandbox->landlock_abi) + "\n";
    text += "sandbox\n" + as_text(sandbox->checks);
    text += "services (not needed to sandbox)\n" + as_text(services);
    text += sandbox->can_enforce ? "This machine can sandbox.\n" : "This machine cannot sandbox.\n";
    print_out(text);
  }
  return sandbox->can_enforce ? 0 : exit_no_sandbox;
}

}  // namespace nono::cli
