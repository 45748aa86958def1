#include "proxy/cli/session_factory.hpp"

#include <algorithm>

namespace nono::cli {

namespace {

Result<SessionListener> open_one(const PlannedListener& wanted, bool several_threads) {
  Result<Listening> opened = open_listeners({wanted.address}, several_threads);
  if (!opened) return fail(opened.error());
  return SessionListener{std::move(opened->sockets.front().socket), wanted.asked,
                         opened->places.front()};
}

}  // namespace

Result<SessionSetup> set_up(PlannedSession planned, std::vector<LoadedCredential> credentials,
                            bool several_threads, const OpenListeners& open) {
  SessionSetup setup;
  setup.credentials = std::move(credentials);
  setup.token = Secret(planned.token);
  setup.limits = planned.limits;
  setup.origin = planned.origin;
  setup.ttl = planned.ttl;
  const auto before = open.find(planned.config.name);
  for (const PlannedListener& wanted : planned.listen) {
    if (before != open.end()) {
      const auto same =
          std::find_if(before->second.begin(), before->second.end(),
                       [&](const OpenListener& known) { return known.asked == wanted.asked; });
      if (same != before->second.end()) {
        setup.listeners.push_back(SessionListener{UniqueFd(), same->asked, same->place});
        continue;
      }
    }
    Result<SessionListener> listener = open_one(wanted, several_threads);
    if (!listener) return fail(listener.error());
    setup.listeners.push_back(std::move(*listener));
  }
  setup.config = std::move(planned.config);
  return setup;
}

Result<MadeSession> make_session(PlannedSession planned, keystore::Keystore& keyring,
                                 const EnvLookup& env, bool several_threads,
                                 const OpenListeners& open) {
  Result<LoadedCredentials> loaded = load_credentials(planned.credentials, keyring, env);
  if (!loaded) return fail(loaded.error());
  MadeSession made;
  made.warnings = std::move(loaded->warnings);
  for (const LoadedCredential& credential : loaded->credentials) {
    if (credential.secret) continue;
    made.warnings.push_back(credential.missing + " (until then its requests get 503)");
  }
  Result<SessionSetup> setup =
      set_up(std::move(planned), std::move(loaded->credentials), several_threads, open);
  if (!setup) return fail(setup.error());
  made.setup = std::move(*setup);
  return made;
}

void note_listeners(const SessionSetup& setup, OpenListeners& open) {
  std::vector<OpenListener>& listeners = open[setup.config.name];
  listeners.clear();
  for (const SessionListener& listener : setup.listeners) {
    listeners.push_back(OpenListener{listener.asked, listener.place});
  }
}

}  // namespace nono::cli
