#pragma once
// How a request is refused: the status, the problem+json body (RFC 9457), the Proxy-Status field
// (RFC 9209), and for CONNECT a reason phrase that says why, since clients show the status line and
// drop the body.

#include <string>
#include <string_view>

#include "config/base/permit.hpp"
#include "proxy/http/head.hpp"

namespace nono {

// Everything a refusal says, whatever refused.
struct Problem {
  int status = 403;
  Reason reason = Reason::no_rule;
  std::string rule;
  std::string detail;  // a sentence without its full stop
  std::string fix;     // what to do about it
  std::string host;    // as judged; empty where there is none
  std::uint16_t port = 0;
  std::string
      error_token;  // RFC 9209 2.3 error type: "destination_ip_prohibited", "dns_error", ...
};

// A policy refusal: 403, or 421 for authority_mismatch, 407 for no_token, 503 for a missing secret.
Problem problem_of(const Refusal& refusal, const HostPort& target);
// A failure on the way (resolve, connect, TLS, limits, parsing): the status that DESIGN's table
// gives it.
Problem problem_of(const Error& error, const HostPort* target);

std::string_view standard_reason_phrase(int status);

// The whole response, head and body. `connect`: the status line's reason phrase carries detail and
// fix, in ASCII, at most 200 bytes. `head_only`: no body (a HEAD request). `close`: says
// Connection: close.
std::string render(const Problem& problem, std::string_view server_name, bool connect,
                   bool head_only, bool close);

}  // namespace nono
