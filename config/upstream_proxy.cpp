#include "config/upstream_proxy.hpp"

#include <algorithm>

#include "config/base/encoding.hpp"
#include "config/base/on_exit.hpp"

namespace nono {

namespace {

constexpr const char* remedy = "write --upstream-proxy HOST:PORT or http://USER:PASSWORD@HOST:PORT";

// RFC 3986 3.1. What else stands before "://" may be a password, and is not repeated.
bool is_scheme(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

Result<std::shared_ptr<const Secret>> basic_authorization(std::string_view user_info) {
  std::string plain = percent_decode_strictly(user_info).value_or("");
  const OnExit wiped([&] { wipe(plain.data(), plain.size()); });
  if (plain.find(':') == std::string::npos) {
    return fail(ErrorCode::bad_input, "--upstream-proxy: what stands before @ is no USER:PASSWORD",
                remedy);
  }
  std::string value = "Basic " + base64_encode(plain);
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
    const std::string_view scheme = rest.substr(0, scheme_end);
    if (scheme != "http") {
      // What is no scheme may be a password before a URL that came too late.
      const std::string shown =
          is_scheme(scheme) ? std::string(scheme) + "://" : "what stands before ://";
      return fail(ErrorCode::bad_input, "--upstream-proxy: " + shown + " is not supported", remedy);
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
