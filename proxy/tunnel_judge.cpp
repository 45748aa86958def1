#include "proxy/tunnel_judge.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/net/client_hello.hpp"

namespace nono {

namespace {

constexpr std::size_t method_bytes_max = 16;

// An upper-case method token and a space: what HTTP/1 begins with, and nothing else of note does.
bool may_be_http(std::string_view bytes) {
  const std::size_t space = bytes.find(' ');
  const std::string_view method = bytes.substr(0, space);
  if (method.empty() || method.size() > method_bytes_max) return false;
  return std::all_of(method.begin(), method.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

FirstBytesJudge::Verdict TunnelJudge::refuse(std::string detail, std::string fix) {
  refusal_.because = Because{Reason::authority_mismatch, permit_.because().rule};
  refusal_.detail = std::move(detail);
  refusal_.fix = std::move(fix);
  return Verdict::refuse;
}

// The permitted host itself, or another that the very same rule allows on the same port.
bool TunnelJudge::agrees(std::string_view name) const {
  const auto host = parse_host(name);
  if (!host) return false;
  if (*host == permit_.target().host) return true;
  const Decision decision = engine_.decide(HostPort{*host, permit_.target().port});
  const Permit* other = std::get_if<Permit>(&decision);
  return other != nullptr && other->handling() == Handling::tunnel &&
         other->because().rule == permit_.because().rule && !other->because().rule.empty();
}

FirstBytesJudge::Verdict TunnelJudge::judge(std::string_view bytes) {
  if (bytes.front() == 0x16) return judge_tls(bytes);
  if (may_be_http(bytes)) return judge_http(bytes);
  return judge_other();
}

FirstBytesJudge::Verdict TunnelJudge::judge_tls(std::string_view bytes) {
  const ClientHello hello = parse_client_hello(bytes);
  const std::string target = permit_.target().to_string();
  switch (hello.state) {
    case ClientHello::State::incomplete:
      return Verdict::more;
    case ClientHello::State::not_tls:
      return judge_other();
    case ClientHello::State::malformed:
      return refuse("the ClientHello for " + target + " cannot be read",
                    "send a TLS ClientHello as RFC 8446 has it");
    case ClientHello::State::complete:
      break;
  }
  if (hello.server_name.empty()) {
    // A literal address has no name to send (RFC 6066 3); the rule named the address.
    if (!permit_.target().host.is_name()) return Verdict::pass;
    return refuse("the ClientHello for " + target + " names no host", "let the client send SNI");
  }
  if (agrees(hello.server_name)) return Verdict::pass;
  return refuse(fmt::format("the tunnel is for {} but TLS inside it asks for another host", target),
                "ask for the same host in CONNECT and in TLS");
}

FirstBytesJudge::Verdict TunnelJudge::judge_http(std::string_view bytes) {
  // SMTP's EHLO and many others begin as HTTP does: the first line tells.
  const std::size_t line_end = bytes.find('\n');
  if (line_end == std::string_view::npos) return Verdict::more;
  if (bytes.substr(0, line_end).find(" HTTP/") == std::string_view::npos) return judge_other();
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return Verdict::more;
  speaks_http_ = true;
  const std::string target = permit_.target().to_string();
  const auto head = http::parse_request_head(bytes.substr(0, end + 4), limits_);
  if (!head)
    return refuse("the request inside the tunnel for " + target + ": " + head.error().what, {});
  // An authority in the target would count more than Host there (RFC 9112 3.2.2).
  if (head->target.front() != '/' && head->target != "*") {
    return refuse("the request inside the tunnel for " + target + " names another place itself",
                  "send the path only");
  }
  const std::string* host = head->fields.find("Host");
  const auto named = host == nullptr ? Result<HostPort>(fail(ErrorCode::bad_request, "no Host"))
                                     : parse_host_port(*host, permit_.target().port);
  if (named && named->port == permit_.target().port && agrees(named->host.to_string()))
    return Verdict::pass;
  return refuse(
      fmt::format("the tunnel is for {} but HTTP inside it asks for another host", target),
      "ask for the same host in CONNECT and in Host");
}

FirstBytesJudge::Verdict TunnelJudge::judge_other() {
  const Port port = permit_.target().port;
  if (port != https_port && port != http_port)
    return Verdict::pass;  // the rule named this port for it
  return refuse(fmt::format("what the tunnel for {} carries is neither TLS nor HTTP",
                            permit_.target().to_string()),
                "other protocols need a rule that names another port, such as HOST:22");
}

}  // namespace nono
