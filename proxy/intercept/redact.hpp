#pragma once
// Keeps the real key out of what comes back: wherever a response repeats it, the phantom stands
// instead.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/secret.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/head.hpp"
#include "proxy/intercept/matcher.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/server.hpp"

namespace nono::intercept {

// What to do to a request so that its response can be redacted: Accept-Encoding is limited to gzip,
// deflate and identity; Range and If-Range go, since a key fetched in two halves would match
// nowhere. So do the extensions of a WebSocket, which would compress it.
void prepare_for_redaction(http::RequestHead& head);

// The forms of one credential's key, ready to be found. Built once per credential; immutable; must
// outlive its filters. Finds the key as it is, inside base64 (Basic) at any alignment,
// percent-encoded, and escaped for JSON. Keys shorter than 8 bytes are looked for as they are only,
// shorter than 4 not at all.
class Redactor {
 public:
  explicit Redactor(const LoadedCredential& credential);
  // Every key found from now on adds one there. Before it is used.
  void count_in(std::atomic<std::uint64_t>* found) {
    matcher_.count_in(found);
    same_length_.count_in(found);
  }

  // Redacts the reason and all fields of `response`, and returns the filter for its body: nullptr
  // where there is none or nothing to redact. A gzip or deflate body will come out as identity:
  // Content-Encoding and, where the length may change, validators are edited accordingly. A coding
  // we did not ask for (br, zstd) cannot be redacted: bad_response, side upstream. Length framing
  // is the caller's to replace (ExchangeHooks does).
  Result<std::unique_ptr<http::BodyFilter>> on_response(http::ResponseHead& response) const;

  // Fields and reason only.
  void redact_fields(http::ResponseHead& response) const;
  // What a WebSocket's server sends after its 101: text of the same length stands for the key,
  // since the frames' lengths stay. Frames that cannot be read (compressed, masked) end the
  // connection.
  std::unique_ptr<RelayFilter> websocket_filter() const;
  // One whole text.
  std::string redact(std::string_view text) const;

 private:
  Matcher matcher_;
  Matcher same_length_;
};

}  // namespace nono::intercept
