#pragma once
// The admin socket's JSON API: sessions made, listed and ended.
//   POST   /sessions         -> 201 and the session with its token, said this once
//   GET    /sessions[/NAME]  -> 200
//   DELETE /sessions/NAME    -> 204; its connections are closed

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/base/secret.hpp"
#include "proxy/admin/http_service.hpp"

namespace nono::admin {

// What a client asks for.
struct SessionRequest {
  // A JSON object in the form of one entry of `sessions:` in nono.yaml, which config/ reads: name,
  // profile, network, dns, credentials, custom_credentials, listen, ttl, limits. Without `name`
  // when the client gave none, and never with `token`.
  std::string entry;
  std::vector<std::string> extends;           // profiles whose rules are added
  std::map<std::string, Secret> environment;  // of its maker: what env:// sources are read from
};

struct CreatedSession {
  std::string name;
  Secret token;
  std::vector<std::string> listen;  // its own listeners, where they came to be
  std::optional<std::chrono::system_clock::time_point> expires;
  // What a client of the session sets: proxy URLs with the token, phantoms, CA files.
  std::map<std::string, std::string> variables;
};

struct ListedSession {
  std::string name;
  std::string profile;  // empty: none
  std::string origin;   // "main", "file" or "admin"
  std::chrono::system_clock::time_point created;
  std::optional<std::chrono::system_clock::time_point> expires;
  std::size_t connections = 0;  // open now
  std::uint64_t requests = 0;
  std::uint64_t bytes_to_upstream = 0, bytes_to_client = 0;
  std::vector<std::string> credentials;  // names
  std::vector<std::string> listen;
};

// The proxy's side. Called on the service's thread.
class SessionAdmin {
 public:
  virtual ~SessionAdmin() = default;
  // Errors are told to the client: bad_input and secret_missing as 422, limit as 503, others as
  // 500.
  virtual Awaitable<Result<CreatedSession>> create(SessionRequest request) = 0;
  virtual std::vector<ListedSession> list() const = 0;
  // bad_input: it cannot be (409).
  virtual Result<void> revoke(const std::string& name) = 0;
};

// `admin` must outlive the handler.
HttpService::Handler sessions_api(SessionAdmin& admin);

// The body of POST /sessions taken apart; wipes `body`. Beside an entry's own keys it has
// `ttl_seconds`, `extends` and `environment`. Errors: bad_input.
Result<SessionRequest> parse_session_request(std::string& body);

}  // namespace nono::admin
