#pragma once
// Sessions for tests, made without files or flags.

#include <string>
#include <utility>
#include <vector>

#include "proxy/session.hpp"
#include "tests/proxy/fixture.hpp"

namespace nono::test {

inline LoadedCredential vendor_key(const std::string& key, std::uint16_t port = 9) {
  LoadedCredential credential;
  credential.route.name = "vendor";
  credential.route.tls = false;
  credential.route.upstream = *parse_host_port("127.0.0.1:" + std::to_string(port));
  credential.route.injection.header = "Authorization";
  credential.route.injection.format = "Bearer {}";
  credential.secret = Secret(key);
  credential.phantom = make_phantom("");
  return credential;
}

inline SessionSetup session_setup(const std::string& name, const std::string& token,
                                  std::vector<std::string> hosts = {"127.0.0.0/8:*"},
                                  SessionOrigin origin = SessionOrigin::admin) {
  SessionSetup setup;
  setup.config.name = name;
  setup.config.network = allowing(std::move(hosts));
  setup.token = Secret(token);
  setup.origin = origin;
  return setup;
}

inline SessionPtr make_test_session(SessionSetup setup) {
  auto session = Session::make(std::move(setup));
  if (!session) throw std::runtime_error(session.error().what);
  return *session;
}

}  // namespace nono::test
