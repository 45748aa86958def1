#pragma once
// One HTTP request, after its target is permitted: endpoint rules, credentials, upstream, exchange.
// Plain forwarding, the reverse form and interception differ only in what they put in here.

#include <memory>
#include <optional>
#include <string>

#include "proxy/http/exchange.hpp"
#include "proxy/intercept/substitute.hpp"
#include "proxy/net/tcp_stream.hpp"
#include "proxy/trail.hpp"
#include "proxy/worker.hpp"

namespace nono {

// Whether the client's connection goes on to another request.
enum class Next : std::uint8_t { keep, close };

// A connection to an upstream, kept for the next request of the same client to the same place.
struct Upstream {
  std::unique_ptr<ByteStream> stream;
  TcpStream* tcp = nullptr;  // the socket below stream
  http::InputBuffer in;
  std::optional<HostPort> target;
  bool tls = false;
  IpAddress address;

  void reset();
  // True where it leads to `wanted` and the peer has not closed it meanwhile.
  bool usable_for(const HostPort& wanted, bool wanted_tls) const;
};

struct RequestContext {
  Worker& worker;
  const Session& session;
  ByteStream& client;
  http::InputBuffer& client_in;
  Upstream& upstream;
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

// What a connection to an upstream is to carry.
enum class Leg : std::uint8_t { tunnel, http, https };

// Resolves, dials and, where asked, starts TLS; through the session's upstream proxy where it has
// one for this target. On success `upstream` leads to the permit's target.
Awaitable<Result<void>> open_upstream(Worker& worker, const Session& session, const Permit& permit,
                                      Leg leg, Upstream& upstream, Trail& trail);

// Answers with a refusal and writes the trail. Says Next::keep only where the request had no body
// and the client may go on.
Awaitable<Next> answer_refusal(ByteStream& client, Worker& worker, Trail& trail,
                               const Problem& problem, const http::RequestHead* head);

}  // namespace nono
