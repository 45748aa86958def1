#include "proxy/session.hpp"

#include <fmt/format.h>

#include "dns/hosts_file.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono {

namespace {

// The user's own files are read once here, so that what is wrong with them is known before anything
// depends on it; each thread reads them again when it first needs them.
Result<void> check_upstream_roots(const SessionConfig& config) {
  if (config.upstream_ca_files.empty()) return {};
  auto made = ClientTlsContext::make(config.upstream_ca_files);
  if (!made) return fail(made.error());
  return {};
}

std::string path_and_version(const std::string& path) {
  const dns::FileVersion version = dns::FileVersion::of(path);
  return fmt::format("{} {} {} {} {}.{}", path, version.device, version.inode, version.size,
                     version.seconds, version.nanoseconds);
}

Result<void> check_dns_servers(const SessionConfig& config) {
  for (const HostPort& server : config.dns_servers) {
    if (server.host.is_name()) {
      return fail(ErrorCode::bad_input,
                  "the DNS server " + server.to_string() + " is a name, which nobody could look up",
                  "write its address");
    }
  }
  return {};
}

}  // namespace

http::HeadLimits head_limits_of(const Limits& limits) {
  return http::HeadLimits{limits.head_bytes_max, limits.request_line_bytes_max, limits.fields_max};
}

Session::Session(SessionSetup setup)
    : config_(std::move(setup.config)),
      identity_(config_.name + "#" + make_token().substr(0, 16)),
      credentials_(std::move(setup.credentials)),
      token_(std::move(setup.token)),
      limits_(setup.limits),
      head_limits_(head_limits_of(setup.limits)),
      origin_(setup.origin),
      created_(std::chrono::system_clock::now()),
      connects_(setup.limits.session_connects_per_second_max) {
  for (const std::string& file : config_.upstream_ca_files) {
    upstream_roots_.push_back(path_and_version(file));
  }
  for (const SessionListener& listener : setup.listeners) places_.push_back(listener.place);
  if (setup.ttl) expires_ = std::chrono::steady_clock::now() + *setup.ttl;
}

void Session::count_in(SessionMeters meters) {
  meters_ = std::move(meters);
  for (const auto& redactor : redactors_) {
    if (redactor) redactor->count_in(meters_.redactions);
  }
}

Result<std::shared_ptr<Session>> Session::make(SessionSetup setup) {
  if (auto checked = check_upstream_roots(setup.config); !checked) return fail(checked.error());
  if (auto checked = check_dns_servers(setup.config); !checked) return fail(checked.error());
  std::shared_ptr<Session> session(new Session(std::move(setup)));
  std::vector<CredentialRoute> routes;
  std::vector<std::string> phantoms;
  for (const LoadedCredential& credential : session->credentials_) {
    routes.push_back(credential.route);
    phantoms.push_back(credential.phantom);
    session->redactors_.push_back(
        credential.secret ? std::make_unique<intercept::Redactor>(credential) : nullptr);
  }
  auto engine = policy::Engine::make(session->config_.network, routes);
  if (!engine) return fail(engine.error());
  session->engine_ = std::move(*engine);
  session->phantoms_ =
      std::make_unique<intercept::PhantomScanner>(phantoms, session->token_.expose());
  return session;
}

}  // namespace nono
