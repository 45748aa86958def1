#include "config/upstream_proxy.hpp"

#include <algorithm>

#include "config/base/on_exit.hpp"

namespace nono {

namespace {

constexpr const char* remedy = "write --upstream-proxy HOST:PORT or http://USER:PASSWORD@HOST:PORT";

// RFC 4648 4.
std::string base64(std::string_view bytes) {
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i)
      out += i <= count ? digits[group >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool percent_decode(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    if (at + 2 >= text.size()) return false;
    const int high = hex_digit(text[at + 1]);
    const int low = hex_digit(text[at + 2]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return true;
}

Result<std::shared_ptr<const Secret>> basic_authorization(std::string_view user_info) {
  std::string plain;
  const OnExit wiped([&] { wipe(plain.data(), plain.size()); });
  if (!percent_decode(user_info, plain) || plain.find(':') == std::string::npos) {
    return fail(ErrorCode::bad_input, "--upstream-proxy: what stands before @ is no USER:PASSWORD",
                remedy);
  }
  std::string value = "Basic " + base64(plain);
  auto secret = std::make_shared<const Secret>(value);
  wipe(value.data(), value.size());
  return secret;
}

}  // namespace

Result<UpstreamProxy> parse_upstream_proxy(const std::string& text,
                                           const std::vector<std::string>& bypass) {
  std::string_view rest = text;
  const std::size_t scheme_end = rest.find("://");
  if (scheme_end != std::string_view::npos) {
    const std::string scheme(rest.substr(0, scheme_end));
    if (scheme != "http") {
      return fail(ErrorCode::bad_input, "--upstream-proxy: " + scheme + ":// is not supported",
                  remedy);
    }
    rest.remove_prefix(scheme_end + 3);
    if (rest.ends_with('/')) rest.remove_suffix(1);
  }
  std::shared_ptr<const Secret> authorization;
  const std::size_t at = rest.rfind('@');
  if (at != std::string_view::npos) {
    auto basic = basic_authorization(rest.substr(0, at));
    if (!basic) return fail(basic.error());
    authorization = std::move(*basic);
    rest.remove_prefix(at + 1);
  }
  auto address = parse_host_port(rest);
  if (!address)
    return fail(ErrorCode::bad_input, "--upstream-proxy: " + address.error().what, remedy);
  UpstreamProxy proxy{std::move(*address), std::move(authorization), {}, {}};
  for (const std::string& pattern : bypass) {
    if (auto range = Cidr::parse(pattern)) {
      proxy.bypass_ranges.push_back(*range);
      continue;
    }
    const bool below = pattern.starts_with("*.");
    auto name =
        HostName::parse(below ? std::string_view(pattern).substr(2) : std::string_view(pattern));
    if (!name) {
      return fail(ErrorCode::bad_input, "--upstream-bypass " + pattern + ": " + name.error().what,
                  "name a host, *.host, an address or a range");
    }
    proxy.bypass_names.push_back((below ? "*." : "") + name->text());
  }
  return proxy;
}

bool bypasses(const UpstreamProxy& proxy, const Host& host) {
  if (!host.is_name()) {
    return std::any_of(proxy.bypass_ranges.begin(), proxy.bypass_ranges.end(),
                       [&](const Cidr& range) { return range.contains(host.address()); });
  }
  const std::string& name = host.name().text();
  return std::any_of(proxy.bypass_names.begin(), proxy.bypass_names.end(),
                     [&](std::string_view pattern) {
                       if (!pattern.starts_with("*.")) return name == pattern;
                       return name.ends_with(pattern.substr(1));
                     });
}

}  // namespace nono
