#include "proxy/cli/session_env.hpp"

#include <algorithm>

#include "proxy/cli/child_environment.hpp"
#include "proxy/cli/console.hpp"

namespace nono::cli {

Variables session_variables(const SessionSetup& setup, const ProxyPlace& place) {
  std::vector<PlannedCredential> credentials;
  for (const LoadedCredential& credential : setup.credentials) {
    credentials.push_back(PlannedCredential{credential.route, credential.phantom});
  }
  ProxyAccess access;
  access.authority = place.authority;
  access.tls = place.tls;
  access.token = std::string(setup.token.expose());
  for (const SessionListener& listener : setup.listeners) {
    if (listener.place.starts_with("unix:")) continue;
    access.authority = listener.place;
    access.tls = false;
    access.token.clear();  // who connects there needs none
  }
  if (access.authority.empty()) return {};
  if (!place.bundle_path.empty() && needs_interception(setup.config)) {
    access.ca_bundle = place.bundle_path;
  }
  return proxy_variables(access, credentials);
}

Result<std::vector<SessionEnv>> session_envs(const std::vector<SessionEntry>& entries,
                                             const std::vector<SessionSetup>& setups,
                                             const ProxyPlace& place) {
  std::vector<SessionEnv> envs;
  for (const SessionEntry& entry : entries) {
    const auto setup = std::find_if(
        setups.begin(), setups.end(),
        [&](const SessionSetup& candidate) { return candidate.config.name == entry.name; });
    if (!entry.env_file || setup == setups.end()) continue;
    SessionEnv env;
    env.session = entry.name;
    env.path = *entry.env_file;
    if (entry.env_format == "github") env.format = EnvFileFormat::github;
    if (entry.env_format == "json") env.format = EnvFileFormat::json;
    env.variables = session_variables(*setup, place);
    if (env.variables.empty()) {
      return fail(ErrorCode::bad_input,
                  "the env_file of session " + entry.name +
                      " needs a TCP listener: no variable names a Unix socket",
                  "give the session a listener on loopback, or the proxy one");
    }
    env.secrets.emplace_back(setup->token.expose());
    for (const LoadedCredential& credential : setup->credentials) {
      env.secrets.push_back(credential.phantom);
    }
    envs.push_back(std::move(env));
  }
  return envs;
}

Result<void> SessionEnvFiles::stage(const std::vector<SessionEnv>& envs) {
  staged_.clear();
  next_.clear();
  for (const SessionEnv& env : envs) {
    std::string says = std::to_string(static_cast<int>(env.format)) + " " +
                       format_env_file(env.variables, env.format);
    const auto before = written_.find(env.path);
    const bool same = before != written_.end() && before->second == says;
    next_[env.path] = std::move(says);
    if (same) continue;
    Result<StagedEnvFile> file = StagedEnvFile::make(env.path, env.format, env.variables);
    if (!file) {
      staged_.clear();
      Error error = file.error();
      error.what = "the env_file of session " + env.session + ": " + error.what;
      return fail(std::move(error));
    }
    const bool masked = env.format == EnvFileFormat::github;
    staged_.push_back(
        Staged{env.path, std::move(*file), masked ? github_masks(env.secrets) : std::string()});
  }
  return {};
}

Result<void> SessionEnvFiles::put_in_place() {
  Result<void> result;
  for (Staged& staged : staged_) {
    if (!staged.masks.empty()) print_out(staged.masks);
    if (Result<void> put = staged.file.put_in_place(); !put) {
      next_.erase(staged.path);  // the next time is another try
      if (result) result = std::move(put);
    }
  }
  staged_.clear();
  written_ = std::move(next_);
  return result;
}

}  // namespace nono::cli
