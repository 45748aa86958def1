#include "proxy/refuse.hpp"

#include <fmt/format.h>

#include "proxy/audit/format.hpp"

namespace nono {

namespace {

constexpr std::size_t reason_phrase_bytes_max = 200;

int status_of(Reason reason) {
  switch (reason) {
    case Reason::no_token:
      return 407;
    case Reason::authority_mismatch:
      return 421;
    case Reason::secret_missing:
      return 503;
    case Reason::limit:
      return 503;
    case Reason::upstream_failed:
      return 502;
    case Reason::bad_target:
    case Reason::malformed:
      return 400;
    default:
      return 403;
  }
}

// RFC 9209 2.3: the registered error type that fits best.
std::string_view error_token_of(Reason reason) {
  switch (reason) {
    case Reason::always_denied:
    case Reason::private_address:
      return "destination_ip_prohibited";
    case Reason::no_token:
    case Reason::malformed:
    case Reason::bad_target:
    case Reason::authority_mismatch:
      return "http_request_error";
    case Reason::secret_missing:
      return "proxy_configuration_error";
    case Reason::limit:
      return "connection_limit_reached";
    default:
      return "http_request_denied";
  }
}

struct Mapping {
  int status;
  Reason reason;
  std::string_view token;
};

Mapping mapping_of(const Error& error) {
  const Reason failed = Reason::upstream_failed;
  switch (error.code) {
    case ErrorCode::name_not_found:
      return {502, failed, "dns_error"};
    case ErrorCode::dns_failed:
      return {502, failed, "dns_error"};
    case ErrorCode::dns_timeout:
      return {504, failed, "dns_timeout"};
    case ErrorCode::address_refused:
      return {403, Reason::private_address, "destination_ip_prohibited"};
    case ErrorCode::connect_failed:
      return {502, failed, "connection_refused"};
    case ErrorCode::connect_timeout:
      return {504, failed, "connection_timeout"};
    case ErrorCode::parent_refused:
      return {502, failed, "proxy_configuration_error"};
    case ErrorCode::tls_failed:
      return {502, failed, "tls_certificate_error"};
    case ErrorCode::bad_response:
      return {502, failed, "http_protocol_error"};
    case ErrorCode::target_too_long:
      return {414, Reason::limit, "http_request_error"};
    case ErrorCode::head_too_large:
      return {431, Reason::limit, "http_request_error"};
    case ErrorCode::body_too_large:
      return {413, Reason::limit, "http_request_error"};
    case ErrorCode::bad_request:
      return {400, Reason::malformed, "http_request_error"};
    case ErrorCode::unauthorized:
      return {407, Reason::no_token, "http_request_error"};
    case ErrorCode::misdirected:
      return {421, Reason::authority_mismatch, "http_request_error"};
    case ErrorCode::secret_missing:
      return {503, Reason::secret_missing, "proxy_configuration_error"};
    case ErrorCode::refused:
      return {403, Reason::no_rule, "http_request_denied"};
    case ErrorCode::limit:
      return {503, Reason::limit, "connection_limit_reached"};
    case ErrorCode::timeout:
      if (error.side == Side::client) return {408, Reason::limit, "http_request_error"};
      return {504, failed, "http_response_timeout"};
    case ErrorCode::read_timeout:
      return {504, failed, "connection_read_timeout"};
    case ErrorCode::closed:
      return {502, failed, "connection_terminated"};
    default:
      if (error.side == Side::self) return {500, Reason::internal, "proxy_internal_error"};
      return {502, failed, "proxy_internal_error"};
  }
}

// Reason phrases are text, not tokens, but clients print them to terminals: printable ASCII only.
std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string out;
  for (const char c : text.substr(0, bytes_max)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

std::string body_of(const Problem& problem) {
  std::string body = R"({"type":"about:blank","title":)";
  audit::append_json_string(body, standard_reason_phrase(problem.status));
  fmt::format_to(std::back_inserter(body), ",\"status\":{},\"detail\":", problem.status);
  audit::append_json_string(body, problem.detail);
  if (!problem.host.empty()) {
    body += ",\"host\":";
    audit::append_json_string(body, problem.host);
    fmt::format_to(std::back_inserter(body), ",\"port\":{}", problem.port);
  }
  body += ",\"reason\":";
  audit::append_json_string(body, to_string(problem.reason));
  body += ",\"rule\":";
  audit::append_json_string(body, problem.rule);
  body += ",\"fix\":";
  audit::append_json_string(body, problem.fix);
  body += "}\n";
  return body;
}

}  // namespace

std::string_view standard_reason_phrase(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

Problem problem_of(const Refusal& refusal, const HostPort& target) {
  Problem problem;
  problem.status = status_of(refusal.because.reason);
  problem.reason = refusal.because.reason;
  problem.rule = refusal.because.rule;
  problem.detail = refusal.detail;
  problem.fix = refusal.fix;
  problem.host = target.host.to_string();
  problem.port = target.port.value();
  problem.error_token = error_token_of(problem.reason);
  return problem;
}

Problem problem_of(const Error& error, const HostPort* target) {
  const Mapping mapping = mapping_of(error);
  Problem problem;
  problem.status = mapping.status;
  problem.reason = mapping.reason;
  problem.detail = error.what;
  problem.fix = error.fix;
  problem.error_token = mapping.token;
  if (target != nullptr) {
    problem.host = target->host.to_string();
    problem.port = target->port.value();
  }
  return problem;
}

std::string render(const Problem& problem, std::string_view server_name, bool connect,
                   bool head_only, bool close) {
  std::string phrase(standard_reason_phrase(problem.status));
  if (connect && !problem.detail.empty()) {
    const std::string said =
        problem.fix.empty() ? problem.detail : problem.detail + "; " + problem.fix;
    phrase = printable(said, reason_phrase_bytes_max);
  }
  const std::string body = body_of(problem);
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n"
      "Proxy-Status: {}; error={}; details=\"{}\"\r\nCache-Control: no-store\r\n",
      problem.status, phrase, body.size(), server_name, problem.error_token,
      to_string(problem.reason));
  if (problem.status == 407)
    out += "Proxy-Authenticate: Basic realm=\"nono\", charset=\"UTF-8\"\r\n";
  if (problem.status == 401) out += "WWW-Authenticate: Bearer realm=\"nono\"\r\n";
  if (problem.status == 503 || problem.status == 429) out += "Retry-After: 5\r\n";
  out += close ? "Connection: close\r\n\r\n" : "\r\n";
  if (!head_only) out += body;
  return out;
}

}  // namespace nono
