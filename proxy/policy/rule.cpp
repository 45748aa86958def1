#include "proxy/policy/rule.hpp"

#include <fmt/format.h>
#include <libpsl.h>

#include <algorithm>
#include <cctype>

namespace nono::policy {
namespace {

tl::unexpected<Error> bad_rule(std::string_view text, std::string_view why, std::string fix = {}) {
  return fail(ErrorCode::bad_input, fmt::format("{:?} is no host rule: {}", text, why),
              std::move(fix));
}

// Only suffixes that registries run (com, co.uk). The list's private part holds hosting companies'
// domains, such as those of cloud APIs, which people do want below one star. Names that the list
// does not know (internal, corp) are a network's own.
bool is_public_suffix(const HostName& name) {
  return ::psl_is_public_suffix2(::psl_builtin(), name.text().c_str(),
                                 PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) != 0;
}

Result<HostPattern> parse_below(std::string_view text, std::string_view suffix, RuleUse use) {
  if (suffix.find('*') != std::string_view::npos) {
    return bad_rule(text, "a star can only be the first label", "write *.example.com");
  }
  const Result<Host> host = parse_host(suffix);
  if (!host) return bad_rule(text, host.error().what);
  if (!host->is_name()) {
    return bad_rule(text, "a star cannot stand before a number",
                    "write a range such as 10.0.0.0/8");
  }
  if (use == RuleUse::allow && is_public_suffix(host->name())) {
    return bad_rule(
        text, fmt::format("anyone can register a name below {}", host->name().text()),
        fmt::format("write the name itself, such as *.example.{}", host->name().text()));
  }
  return NamesBelow{host->name()};
}

Result<HostPattern> parse_pattern(std::string_view text, std::string_view host, RuleUse use) {
  if (host == "*") {
    return use == RuleUse::deny
               ? bad_rule(text, "it would deny everything", "use --block-net instead")
               : bad_rule(text, "it would allow every host",
                          "name the hosts, or run without network flags for an open network");
  }
  if (host.starts_with("*.")) return parse_below(text, host.substr(2), use);
  if (host.find('*') != std::string_view::npos) {
    return bad_rule(text, "a star can only be the first label", "write *.example.com");
  }
  if (host.starts_with('.') && host.size() > 1) {
    return bad_rule(text, "it begins with a dot", fmt::format("write *{}", host));
  }
  const Result<Host> parsed = parse_host(host);
  if (!parsed) return bad_rule(text, parsed.error().what);
  return exactly(*parsed);
}

Result<HostPattern> parse_range(std::string_view text, std::string_view range, RuleUse use) {
  const Result<Cidr> cidr = Cidr::parse(range);
  if (!cidr) return bad_rule(text, cidr.error().what, cidr.error().fix);
  if (cidr->prefix_bits() == 0) {
    return use == RuleUse::deny
               ? bad_rule(text, "it would deny every address", "use --block-net instead")
               : bad_rule(text, "it would allow every address, private ones included",
                          "name the hosts or ranges, or run without network flags");
  }
  return *cidr;
}

// What stands before and behind the colon of the port.
struct Split {
  std::string_view host;
  std::optional<std::string_view> port;
};

Result<Split> split_port(std::string_view text, std::string_view authority) {
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return bad_rule(text, "a bracket is not closed");
    const std::string_view inside = authority.substr(1, bracket - 1);
    const std::string_view rest = authority.substr(bracket + 1);
    if (inside.find(':') == std::string_view::npos) {
      return bad_rule(text, "brackets are for IPv6 addresses and ranges");
    }
    if (rest.empty()) return Split{inside, {}};
    if (rest[0] != ':') return bad_rule(text, "only a port can follow the bracket");
    return Split{inside, rest.substr(1)};
  }
  const std::size_t slash = authority.find('/');
  const std::size_t from = slash == std::string_view::npos ? 0 : slash;
  const std::size_t colon = authority.find(':', from);
  const bool bare_v6 = slash == std::string_view::npos && colon != authority.rfind(':');
  if (colon == std::string_view::npos || bare_v6) return Split{authority, {}};
  return Split{authority.substr(0, colon), authority.substr(colon + 1)};
}

Result<std::vector<Port>> parse_ports(std::string_view text, std::optional<std::string_view> port,
                                      std::vector<Port> without) {
  if (!port) return without;
  if (*port == "*") return std::vector<Port>{};
  const Result<Port> parsed = Port::parse(*port);
  if (!parsed) return bad_rule(text, parsed.error().what, "write :443, or :* for every port");
  return std::vector<Port>{*parsed};
}

Result<Rule> parse_host_rule(std::string_view text, RuleUse use) {
  const Result<Split> split = split_port(text, text);
  if (!split) return fail(split.error());
  const std::size_t slash = split->host.find('/');
  const bool range = slash != std::string_view::npos;
  if (range && !IpAddress::parse(split->host.substr(0, slash))) {
    return bad_rule(text, "it has a path but no scheme", fmt::format("write https://{}", text));
  }
  Result<HostPattern> host =
      range ? parse_range(text, split->host, use) : parse_pattern(text, split->host, use);
  if (!host) return fail(host.error());
  std::vector<Port> without;
  if (use == RuleUse::allow) without = {https_port, http_port};
  Result<std::vector<Port>> ports = parse_ports(text, split->port, std::move(without));
  if (!ports) return fail(ports.error());
  return Rule{std::move(*host), std::move(*ports), {}, std::string(text)};
}

char to_lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

Result<Rule> parse_url_rule(std::string_view text, std::size_t scheme_end, RuleUse use) {
  std::string scheme(text.substr(0, scheme_end));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), to_lower);
  if (scheme != "https" && scheme != "http") {
    return bad_rule(text, "only https and http URLs are rules", "write the host alone, with :port");
  }
  const std::string_view rest = text.substr(scheme_end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  const std::string_view path = rest.substr(authority.size());
  if (path == "/") {
    return bad_rule(text, "it would allow one page only",
                    fmt::format("write {} for the whole host, or {}** for every path of it",
                                text.substr(0, text.size() - 1), text));
  }
  const Result<Split> split = split_port(text, authority);
  if (!split) return fail(split.error());
  Result<HostPattern> host = parse_pattern(text, split->host, use);
  if (!host) return fail(host.error());
  Result<std::vector<Port>> ports =
      parse_ports(text, split->port, {scheme == "https" ? https_port : http_port});
  if (!ports) return fail(ports.error());

  Rule rule{std::move(*host), std::move(*ports), {}, std::string(text)};
  if (path.empty()) return rule;
  Result<PathPattern> pattern = PathPattern::parse(path);
  if (!pattern) return bad_rule(text, pattern.error().what);
  rule.endpoints.push_back(Endpoint{"*", std::move(*pattern), {}, std::string(text)});
  return rule;
}

bool is_token_character(char c) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";  // RFC 9110 5.6.2
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         marks.find(c) != std::string_view::npos;
}

bool same_method(std::string_view upper, std::string_view method) {
  return std::equal(upper.begin(), upper.end(), method.begin(), method.end(), [](char a, char b) {
    return a == static_cast<char>(std::toupper(static_cast<unsigned char>(b)));
  });
}

}  // namespace

HostPattern exactly(const Host& host) {
  if (host.is_name()) return host.name();
  const IpAddress& address = host.address();
  return Cidr(address, address.is_v4() ? 32 : 128);
}

bool Endpoint::matches(std::string_view request_method,
                       const std::vector<std::string>& segments) const {
  return (method == "*" || same_method(method, request_method)) && path.matches(segments) &&
         (!within || within->matches(segments));
}

Result<Endpoint> parse_endpoint(const EndpointRule& written, std::string_view owner) {
  std::string method = written.method.empty() ? "*" : written.method;
  std::transform(method.begin(), method.end(), method.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  if (!std::all_of(method.begin(), method.end(), is_token_character)) {
    return fail(ErrorCode::bad_input, fmt::format("{:?} is no method", written.method),
                "write a method such as GET, or *");
  }
  Result<PathPattern> path = PathPattern::parse(written.path);
  if (!path) return fail(path.error());
  std::string text = fmt::format("{}: {} {}", owner, method, written.path);
  return Endpoint{std::move(method), std::move(*path), {}, std::move(text)};
}

Result<Rule> parse_rule(const HostRule& written, RuleUse use) {
  const std::string_view text = written.text;
  const std::size_t scheme_end = text.find("://");
  Result<Rule> rule = scheme_end == std::string_view::npos ? parse_host_rule(text, use)
                                                           : parse_url_rule(text, scheme_end, use);
  if (!rule) return rule;
  rule->tunnel = TunnelRules{written.any_sni, written.refuse_ech};
  if (written.endpoints.empty()) return rule;

  std::optional<PathPattern> within;
  if (!rule->endpoints.empty()) within = std::move(rule->endpoints.front().path);
  rule->endpoints.clear();
  for (const EndpointRule& endpoint : written.endpoints) {
    Result<Endpoint> parsed = parse_endpoint(endpoint, text);
    if (!parsed) return fail(parsed.error());
    parsed->within = within;
    rule->endpoints.push_back(std::move(*parsed));
  }
  return rule;
}

}  // namespace nono::policy
