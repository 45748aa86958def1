#pragma once
// One HTTP request, after its target is permitted: endpoint rules, credentials, upstream, exchange.
// Plain forwarding, the reverse form and interception differ only in what they put in here.

#include <memory>
#include <optional>
#include <string>

#include "proxy/http/exchange.hpp"
#include "proxy/intercept/substitute.hpp"
#include "proxy/open_upstream.hpp"
#include "proxy/trail.hpp"
#include "proxy/worker.hpp"

namespace nono {

// Whether the client's connection goes on to another request.
enum class Next : std::uint8_t { keep, close };

struct RequestContext {
  Worker& worker;
  const Session& session;
  ByteStream& client;
  http::InputBuffer& client_in;
  Upstream& upstream;  // of this client alone: what is in use, and what the pool does not take
};

// What is asked, with a permit for where.
struct PermittedRequest {
  http::RequestHead& head;  // target in origin form, as received
  const Permit& permit;
  bool tls = false;                  // the upstream speaks TLS
  std::optional<std::size_t> route;  // the reverse form's credential
  intercept::SubstituteMode mode = intercept::SubstituteMode::intercept;
};

// Serves one request and answers it whatever happens. All arguments must outlive the await.
Awaitable<Next> serve_request(RequestContext& context, PermittedRequest& request, Trail& trail);

// Answers with a refusal and writes the trail. Says Next::keep only where the request had no body
// and the client may go on.
Awaitable<Next> answer_refusal(ByteStream& client, Worker& worker, Trail& trail,
                               const Problem& problem, const http::RequestHead* head);

}  // namespace nono
