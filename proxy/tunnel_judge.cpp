#include "proxy/tunnel_judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "proxy/http/lexical.hpp"
#include "proxy/net/client_hello.hpp"
#include "proxy/trail.hpp"

namespace nono {

namespace {

// What lenient servers take for white space between the words of a line.
bool is_blank(char c) {
  constexpr std::string_view blanks = " \t\r\n\v\f\x1c\x1d\x1e\x1f\x85\xa0";
  return blanks.find(c) != std::string_view::npos;
}

bool is_visible(char c) {
  return c > 0x20 && c < 0x7f;
}

bool equal_letters(char a, char b) {
  return a == b || ((a ^ b) == 0x20 && (a | 0x20) >= 'a' && (a | 0x20) <= 'z');
}

// git's own protocol (gitprotocol-pack(5)) ends no line: four digits of length, a service, a path
// and a NUL at the end of that length.
bool is_git(std::string_view bytes, std::string_view word) {
  constexpr std::size_t digits = 4;
  if (word.size() <= digits) return false;
  std::size_t length = 0;
  const auto [end, wrong] = std::from_chars(word.data(), word.data() + digits, length, 16);
  if (wrong != std::errc() || end != word.data() + digits || length != bytes.size()) return false;
  word.remove_prefix(digits);
  const bool service =
      word == "git-upload-pack" || word == "git-receive-pack" || word == "git-upload-archive";
  return service && bytes.back() == '\0';
}

bool says_http(std::string_view line) {
  constexpr std::string_view version = "HTTP/";
  return std::search(line.begin(), line.end(), version.begin(), version.end(), equal_letters) !=
         line.end();
}

// HTTP/0.9 names no version, and some servers read fields behind it all the same.
bool is_old_get(std::string_view method, std::string_view rest) {
  if (method != "GET") return false;
  while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
  return !rest.empty() && rest.front() == '/';
}

}  // namespace

// Whether any server could take this for an HTTP/1 request, lenient ones too: a token, and "HTTP/"
// in the rest of its line, whatever else is there. SMTP's EHLO and many others begin as HTTP does:
// the line's end tells, and is waited for, or else the pieces in which a request comes would decide.
// A protocol that begins with a bare word, ends no line and waits for an answer is held up by that;
// nearly all others have an octet early on that no token has.
Looks look_at(std::string_view bytes, bool at_end) {
  while (!bytes.empty() && is_blank(bytes.front())) bytes.remove_prefix(1);
  const auto end = std::find_if(bytes.begin(), bytes.end(), is_blank);
  const std::string_view method = bytes.substr(0, static_cast<std::size_t>(end - bytes.begin()));
  if (!std::all_of(method.begin(), method.end(), is_visible)) return Looks::otherwise;
  const bool token =
      std::all_of(method.begin(), method.end(), http::lexical::is_token_character);
  const std::string_view rest = bytes.substr(method.size());
  const std::size_t line_end = rest.find('\n');
  if (line_end == std::string_view::npos && !at_end) {
    return !token || is_git(bytes, method) ? Looks::otherwise : Looks::unknown_yet;
  }
  const std::string_view line = rest.substr(0, line_end);
  return says_http(line) || is_old_get(method, line) ? Looks::like_http : Looks::otherwise;
}

FirstBytesJudge::Verdict TunnelJudge::refuse(std::string detail, std::string fix) {
  refusal_.because = Because{Reason::authority_mismatch, permit_.because().rule};
  refusal_.detail = std::move(detail);
  refusal_.fix = std::move(fix);
  return Verdict::refuse;
}

// The permitted host itself, or another that the very same rule allows on the same port.
bool TunnelJudge::agrees(std::string_view name) const {
  const Host& own = permit_.target().host;
  if (own.is_name() && own.name().text() == name) return true;  // as it nearly always is
  const auto host = parse_host(name);
  if (!host) return false;
  if (*host == own) return true;
  const Decision decision = engine_.decide(HostPort{*host, permit_.target().port});
  const Permit* other = std::get_if<Permit>(&decision);
  return other != nullptr && other->handling() == Handling::tunnel &&
         other->because().rule == permit_.because().rule && !other->because().rule.empty();
}

FirstBytesJudge::Verdict TunnelJudge::judge(std::string_view bytes, bool at_end) {
  const ClientHello hello = parse_client_hello(bytes);
  if (hello.state != ClientHello::State::not_tls) return judge_tls(hello);
  switch (look_at(bytes, at_end)) {
    case Looks::unknown_yet:
      return Verdict::more;
    case Looks::like_http:
      taken_ = bytes;
      return Verdict::refuse;
    case Looks::otherwise:
      break;
  }
  return judge_other();
}

FirstBytesJudge::Verdict TunnelJudge::judge_tls(const ClientHello& hello) {
  const auto target = [this] { return permit_.target().to_string(); };
  switch (hello.state) {
    case ClientHello::State::incomplete:
    case ClientHello::State::not_tls:
      return Verdict::more;
    case ClientHello::State::malformed:
      return refuse("the ClientHello for " + target() + " cannot be read",
                    "send a TLS ClientHello as RFC 8446 has it");
    case ClientHello::State::complete:
      break;
  }
  const TunnelRules& rules = permit_.tunnel_rules();
  if (hello.encrypted_hello) {
    if (rules.refuse_ech) {
      return refuse(
          "the ClientHello for " + target() + " has an encrypted part, which its rule refuses",
          "switch Encrypted Client Hello off in the client");
    }
    if (trail_ != nullptr) trail_->detail("the ClientHello has an encrypted part (ECH)");
  }
  if (rules.any_sni) return Verdict::pass;
  if (hello.server_name.empty()) {
    // A literal address has no name to send (RFC 6066 3); the rule named the address.
    if (!permit_.target().host.is_name()) return Verdict::pass;
    return refuse("the ClientHello for " + target() + " names no host",
                  "let the client send SNI, or write `sni: any` into the rule");
  }
  if (agrees(hello.server_name)) return Verdict::pass;
  return refuse(
      fmt::format("the tunnel is for {} but TLS inside it asks for another host", target()),
      "ask for the same host in CONNECT and in TLS");
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
