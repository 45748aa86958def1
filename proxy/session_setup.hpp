#pragma once
// What a session is made of: plain values, filled by the command line, nono.yaml or the admin
// socket.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "config/base/secret.hpp"
#include "config/config.hpp"
#include "proxy/limits.hpp"

namespace nono {

// One enabled credential, its secret read (or the reason why not: the route then answers 503).
struct LoadedCredential {
  CredentialRoute route;
  std::optional<Secret> secret;
  std::string source;   // where it was found, for the banner: "env://OPENAI_API_KEY"
  std::string missing;  // where secret is empty: what to do about it
  std::string phantom;  // what the client holds instead
};

// 256 random bits as hex behind a recognisable infix: "<prefix>nono_<64 hex>".
std::string make_phantom(std::string_view prefix);
// A session token: 64 hex digits from 256 random bits.
std::string make_token();

// Who made a session, and so what becomes of it when nono.yaml is read again.
enum class SessionOrigin : std::uint8_t {
  main,   // flags and the top level of nono.yaml
  file,   // `sessions:` of nono.yaml
  admin,  // `nono session create`: survives a reload
};

// A listener of a session's own: who connects there is this session, without a token.
struct SessionListener {
  UniqueFd socket;  // listening. Empty only in a reload: the one that `asked` named before goes on
  std::string asked;  // as written: "127.0.0.1:0", "unix:/run/a.sock"
  std::string place;  // where it is: "127.0.0.1:4711"
};

struct SessionSetup {
  SessionConfig config;  // its name is the session's
  std::vector<LoadedCredential> credentials;
  Secret token;  // empty: only its own listeners lead to it
  Limits limits;
  SessionOrigin origin = SessionOrigin::main;
  std::vector<SessionListener> listeners;
  std::optional<std::chrono::seconds> ttl;  // from now on; then it is revoked
};

}  // namespace nono
