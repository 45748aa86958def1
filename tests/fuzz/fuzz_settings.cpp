// Proxy settings: the upstream proxy with its credentials and bypasses, and listening addresses.
// Lines: an upstream proxy, a listening address, a host; the rest are bypasses.
#include "config/base/encoding.hpp"
#include "config/upstream_proxy.hpp"
#include "proxy/cli/listen_address.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

// What a user would not want to see in a message: all behind the first colon of the user info.
std::string_view password_of(std::string_view text) {
  const std::size_t at = text.rfind('@');
  if (at == text.npos) return {};
  std::string_view info = text.substr(0, at);
  const std::size_t scheme = info.find("://");
  if (scheme != info.npos) info.remove_prefix(scheme + 3);
  const std::size_t colon = info.find(':');
  return colon == info.npos ? std::string_view{} : info.substr(colon + 1);
}

// `text` with another password: each letter and digit of it is another one, except in the triplets
// of percent-encoding, which have to stay some.
std::string with_other_password(const std::string& text) {
  const std::string_view password = password_of(text);
  if (password.empty()) return text;
  const auto begin = static_cast<std::size_t>(password.data() - text.data());
  std::string other = text;
  for (std::size_t i = begin; i < begin + password.size(); ++i) {
    if (text[i] == '%') {
      i += 2;
      continue;
    }
    const char l = lower(text[i]);
    const bool alphanumeric = (l >= 'a' && l <= 'z') || (l >= '0' && l <= '9');
    if (alphanumeric) other[i] = l == 'x' ? 'y' : 'x';
  }
  return other;
}

// What is said of a wrong setting does not depend on the password in it. (Not that it is not in it:
// "http" may be a password.)
void expect_quiet(const Error& error, const std::string& text) {
  expect(error.code == ErrorCode::bad_input && !error.what.empty());
  const auto other = parse_upstream_proxy(with_other_password(text), {});
  expect(!other.has_value() && other.error().what == error.what && other.error().fix == error.fix);
}

void expect_usable(const UpstreamProxy& proxy, const std::string& text) {
  const auto again = parse_host_port(proxy.address.to_string());
  expect(again.has_value() && *again == proxy.address);
  expect((proxy.authorization != nullptr) == holds(text, "@"));
  if (proxy.authorization == nullptr) return;
  const std::string_view value = proxy.authorization->expose();
  expect(value.starts_with("Basic ") && value.find_first_of("\r\n") == value.npos);
  const auto plain = base64_decode(value.substr(6));
  expect(plain.has_value() && holds(*plain, ":"));
}

void try_listen(std::string_view text) {
  for (const bool with_port : {false, true}) {
    const auto port = with_port ? std::optional<std::uint16_t>(8080) : std::nullopt;
    const auto listen = cli::parse_listen(text, port);
    if (!listen || !listen->unix_path.empty()) continue;
    const std::string address = listen->address.to_string();
    const std::string spelled = (listen->address.is_v4() ? address : "[" + address + "]") + ":" +
                                std::to_string(listen->port);
    const auto again = cli::parse_listen(spelled, std::nullopt);
    expect(again.has_value() && again->address == listen->address && again->port == listen->port);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::string text(input.line());
  try_listen(input.line());
  const auto host = parse_host(input.line());
  std::vector<std::string> bypass;
  while (!input.rest().empty()) bypass.emplace_back(input.line());

  const auto proxy = parse_upstream_proxy(text, {});
  if (proxy) {
    expect_usable(*proxy, text);
    expect(!host || !bypasses(*proxy, *host));
  } else {
    expect_quiet(proxy.error(), text);
  }
  const auto with_bypass = parse_upstream_proxy(text, bypass);
  if (!with_bypass) return 0;
  expect(proxy.has_value());
  if (!host || !host->is_name()) return 0;
  // `*.x` means what is below x, never x itself nor what merely ends like it.
  bool expected = false;
  for (const std::string& pattern : bypass) {
    const bool below = pattern.starts_with("*.");
    const auto name = HostName::parse(below ? std::string_view(pattern).substr(2) : pattern);
    if (!name) continue;
    const std::string& asked = host->name().text();
    expected = expected || (below ? asked.ends_with("." + name->text()) : asked == name->text());
  }
  expect(bypasses(*with_bypass, *host) == expected);
  return 0;
}
