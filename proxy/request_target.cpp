#include "proxy/request_target.hpp"

#include <fmt/format.h>

#include "config/base/encoding.hpp"

namespace nono {

Result<AbsoluteTarget> parse_absolute(const http::RequestHead& head, const ReadAuthority* before) {
  const std::string_view target = head.target;
  const std::size_t scheme_end = target.find("://");
  const auto bad = [](std::string what, std::string fix = {}) {
    return fail(ErrorCode::bad_request, std::move(what), std::move(fix), Side::client);
  };
  if (scheme_end == std::string_view::npos) return bad("the request target has no scheme");
  const std::string_view scheme = target.substr(0, scheme_end);
  if (http::equal_name(scheme, "https")) {
    return bad("https is not forwarded in absolute form",
               "use CONNECT, as clients do for https_proxy");
  }
  if (!http::equal_name(scheme, "http")) return bad("the proxy forwards http only");
  const std::string_view rest = target.substr(scheme_end + 3);
  const std::size_t authority_end = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, authority_end);
  const bool known = before != nullptr && before->written == authority;
  auto parsed = known ? Result<HostPort>(before->read) : parse_host_port(authority, http_port);
  if (!parsed) return bad("the request target's host: " + parsed.error().what);
  std::string path;
  if (authority_end != std::string_view::npos) path = rest.substr(authority_end);
  if (path.empty() && head.method == "OPTIONS") path = "*";
  if (path.empty() || path.front() == '?') path.insert(0, "/");
  return AbsoluteTarget{std::move(*parsed), std::move(path), authority};
}

std::string authority_text(const HostPort& target, Port default_port) {
  if (target.port == default_port) {
    const std::string text = target.to_string();
    return text.substr(0, text.rfind(':'));
  }
  return target.to_string();
}

bool host_agrees(const http::RequestHead& head, const HostPort& target, Port default_port) {
  const std::string* host = head.fields.find("Host");
  if (host == nullptr) return true;
  if (*host == authority_text(target, default_port)) return true;  // as it nearly always is
  auto parsed = parse_host_port(*host, default_port);
  return parsed && *parsed == target;
}

bool host_is_proxy(const http::RequestHead& head, std::uint16_t own_port) {
  const std::string* host = head.fields.find("Host");
  if (host == nullptr) return false;
  auto named = parse_host_port(*host, http_port);
  return named && own_port != 0 && named->port.value() == own_port;
}

Problem mismatch(const http::RequestHead& head, const HostPort& target) {
  const std::string* host = head.fields.find("Host");
  Refusal refusal;
  refusal.because.reason = Reason::authority_mismatch;
  refusal.detail = fmt::format("the request is for {} but its Host field says {}",
                               target.to_string(), host == nullptr ? "nothing" : *host);
  refusal.fix = "send the same name in both";
  return problem_of(refusal, target);
}

Problem bad_target(std::string detail, std::string fix) {
  Problem problem;
  problem.status = 400;
  problem.reason = Reason::bad_target;
  problem.detail = std::move(detail);
  problem.fix = std::move(fix);
  problem.error_token = "http_request_error";
  return problem;
}

std::optional<std::string> reverse_path(const std::string& base_path, std::string_view rest) {
  std::string path = base_path;
  if (rest.empty() || rest.front() == '?') path += base_path.empty() ? "/" : "";
  path += rest;
  if (base_path.empty()) return path;
  // Some servers take an encoded slash for one, others do not: it may end a "..", but the segment
  // before it is none that a later ".." could take back.
  const std::string_view raw = rest.substr(0, rest.find('?'));
  int depth = 0;
  std::string segment;
  bool plain = true;  // it began behind a plain slash
  for (std::size_t at = 0; at <= raw.size(); ++at) {
    char c = at < raw.size() ? raw[at] : '/';
    bool encoded = false;
    if (c == '%') {
      const std::string decoded = percent_decode(raw.substr(at, 3));
      encoded = decoded.size() == 1;
      if (encoded) c = decoded.front();
      if (encoded) at += 2;
    }
    if (c != '/' && c != '\\') {
      segment += c;
      continue;
    }
    if (segment == "..") {
      if (--depth < 0) return std::nullopt;
    } else if (!segment.empty() && segment != "." && plain) {
      ++depth;
    }
    segment.clear();
    plain = c == '/' && !encoded;
  }
  return path;
}

}  // namespace nono
