#pragma once
// One HTTP/1.1 request forwarded upstream and its response brought back, over any two ByteStreams.
// Knows nothing of policy: plain forwarding, the reverse form and interception all use it.

#include <chrono>
#include <memory>

#include "proxy/http/body.hpp"
#include "proxy/net/readiness.hpp"

namespace nono::http {

struct ExchangeTimes {
  std::chrono::milliseconds first_byte{300'000};
  std::chrono::milliseconds idle{600'000};
};

// What the caller may do on the way. Called on the streams' thread.
class ExchangeHooks {
 public:
  virtual ~ExchangeHooks() = default;
  // The final (not 1xx) response head, hop-by-hop fields already removed; may be edited. A filter
  // returned is applied to the body, which then goes out chunked (HTTP/1.1) or until close.
  virtual Result<std::unique_ptr<BodyFilter>> on_response(ResponseHead& response) = 0;
  // An interim response head (1xx, a 101 included) on its way to the client, hop-by-hop fields
  // already removed; may be edited.
  virtual void on_interim(ResponseHead&) {}
  // A filter for the request's body, or nullptr. It may hold bytes back and fail, but must not
  // change the length: framing stays as it is. Owned by the hooks, asked for once per call of
  // exchange().
  virtual BodyFilter* request_filter() { return nullptr; }
};

struct ExchangeResult {
  int status = 0;
  bool client_reusable = false;    // the client's connection may carry another request
  bool upstream_reusable = false;  // the upstream's too
  bool upgraded = false;           // 101: both streams now carry another protocol (WebSocket)
  bool response_started = false;   // the client may have part of a response: too late for a refusal
  // The upstream closed before any byte of a response, and nothing of the request's body was used
  // up: what a kept connection does that has gone stale. An idempotent request may be sent again,
  // by the same call with a fresh upstream.
  bool upstream_was_stale = false;
  std::uint64_t bytes_to_upstream = 0, bytes_to_client = 0;
};

// Sends `request` (already rewritten: origin-form target, hop-by-hop fields removed, `upgrade`
// naming the protocol where the client asked for one and the caller allows it) and its body, relays
// 1xx, brings back the final response. Request and response bodies move at the same time: an
// upstream that answers early is relayed at once. `Expect: 100-continue` is passed on and its 100
// relayed. A response that cannot be framed is bad_response and nothing of it reaches the client.
// What either stream has sent too much stays in its buffer. Must not be cancelled from outside:
// close the streams instead. On error the streams are not reusable; `result` tells whether the
// response had started.
Awaitable<Result<void>> exchange(Poller& poller, ByteStream& client, InputBuffer& client_in,
                                 const RequestHead& request, std::string_view upgrade,
                                 ByteStream& upstream, InputBuffer& upstream_in,
                                 const HeadLimits& limits, const ExchangeTimes& times,
                                 ExchangeHooks& hooks, ExchangeResult& result);

}  // namespace nono::http
