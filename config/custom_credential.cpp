// custom_credentials.NAME: a credential route that the user defines.

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "config/network_keys.hpp"
#include "config/schema.hpp"

namespace nono::document {
namespace {

// The fields as written; a route is made of them once all are known.
struct Definition {
  std::vector<std::string> notes;  // for SchemaReader
  std::optional<std::string> upstream, credential_key, inject_header, credential_format,
      path_pattern, path_replacement, query_param_name, env_var, phantom_prefix;
  std::string inject_mode = "header";
  std::vector<EndpointRule> endpoint_rules;
};

using F = Field<Definition>;

template <std::optional<std::string> Definition::*member>
void text(const F& f) {
  f.out.*member = as_string(f.problems, f.node, f.key);
}

const std::vector<Key<Definition>>& definition_keys() {
  static const std::vector<Key<Definition>> keys = {
      {"upstream", text<&Definition::upstream>},
      {"credential_key", text<&Definition::credential_key>},
      {"inject_mode",
       [](const F& f) {
         f.out.inject_mode = as_string(f.problems, f.node, f.key).value_or("header");
       }},
      {"inject_header", text<&Definition::inject_header>},
      {"credential_format", text<&Definition::credential_format>},
      {"path_pattern", text<&Definition::path_pattern>},
      {"path_replacement", text<&Definition::path_replacement>},
      {"query_param_name", text<&Definition::query_param_name>},
      {"env_var", text<&Definition::env_var>},
      {"phantom_prefix", text<&Definition::phantom_prefix>},
      {"endpoint_rules",
       [](const F& f) { f.out.endpoint_rules = read_endpoints(f.problems, f.node, f.key); }},
      {"endpoint_policy", nullptr},
      {"auth", nullptr},
      {"aws_auth", nullptr},
      {"proxy", nullptr},
      {"tls_ca", nullptr},
      {"tls_client_cert", nullptr},
      {"tls_client_key", nullptr},
  };
  return keys;
}

bool only(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           extra.find(c) != std::string_view::npos;
  });
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string upper_name(std::string_view text) {
  std::string name;
  for (char c : text) {
    bool good = std::isalnum(static_cast<unsigned char>(c)) != 0;
    name += good ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : '_';
  }
  return name;
}

// Reads one definition; complains at the map, or at its key where that says more.
class RouteMaker {
 public:
  RouteMaker(Problems& problems, const YAML::Node& node, std::string name)
      : problems_(problems), node_(node), name_(std::move(name)) {}

  std::optional<CredentialRoute> make() {
    std::size_t before = complaints_;
    SchemaReader<Definition> reader(problems_, definition_keys(), d_);
    reader.read(node_);
    route_.name = name_;
    route_.origin = problems_.origin(node_);
    upstream();
    source();
    injection();
    route_.base_url_vars = {upper_name(name_) + "_BASE_URL"};
    route_.phantom_prefix = d_.phantom_prefix.value_or("");
    if (!only(route_.phantom_prefix + "x", "-_."))
      complain("phantom_prefix has letters, digits, '-', '_' and '.' only");
    route_.endpoints = std::move(d_.endpoint_rules);
    if (complaints_ != before) return std::nullopt;
    return std::move(route_);
  }

 private:
  void complain(const std::string& what) {
    ++complaints_;
    problems_.at(node_, fmt::format("custom_credentials.{}: {}", name_, what));
  }

  void upstream() {
    if (!d_.upstream) return complain("upstream is missing (https://HOST)");
    std::string_view url = *d_.upstream;
    route_.tls = url.starts_with("https://");
    if (!route_.tls && !url.starts_with("http://")) {
      return complain("upstream must start with https:// (or http:// on loopback)");
    }
    url.remove_prefix(route_.tls ? 8 : 7);
    std::size_t slash = std::min(url.find('/'), url.size());
    std::string path(url.substr(slash));
    while (path.ends_with('/')) path.pop_back();
    if (url.find_first_of("@?# \\") != std::string_view::npos || !printable(url)) {
      return complain("upstream has a host and a path, no user, query or fragment");
    }
    Result<HostPort> target =
        parse_host_port(url.substr(0, slash), route_.tls ? https_port : http_port);
    if (!target) return complain("upstream: " + target.error().what);
    bool loopback = target->host.is_name()
                        ? target->host.name().text() == "localhost"
                        : classify(target->host.address()) == AddressClass::loopback;
    if (!route_.tls && !loopback) {
      return complain("upstream: http:// would send the key in the clear; only loopback may");
    }
    route_.upstream = *target;
    route_.base_path = path;
  }

  void source() {
    if (!d_.credential_key) return complain("credential_key is missing");
    const std::string& key = *d_.credential_key;
    std::size_t scheme_end = key.find("://");
    std::string scheme = scheme_end == std::string::npos ? "" : key.substr(0, scheme_end);
    static const std::vector<std::string> known = {"", "keyring", "env", "file"};
    if (std::find(known.begin(), known.end(), scheme) == known.end()) {
      return complain(
          fmt::format("credential_key: {}:// is not supported yet; use a keyring account, "
                      "env://NAME or file:///path",
                      scheme));
    }
    route_.sources = {scheme.empty() ? "keyring://nono/" + key : key};
    if (d_.env_var) {
      bool good = only(*d_.env_var, "_") &&
                  std::isdigit(static_cast<unsigned char>(d_.env_var->front())) == 0;
      if (!good) return complain("env_var is no variable name");
      route_.phantom_vars = {*d_.env_var};
    } else if (scheme.empty()) {
      route_.phantom_vars = {upper_name(key)};
    } else if (scheme == "env") {
      route_.phantom_vars = {key.substr(6)};
    } else {
      complain("env_var is missing: the variable in which the command finds its phantom key");
    }
  }

  void injection() {
    Injection& i = route_.injection;
    if (d_.inject_mode == "header") {
      i.mode = InjectMode::header;
      header();
    } else if (d_.inject_mode == "basic_auth") {
      i.mode = InjectMode::basic_auth;
    } else if (d_.inject_mode == "query_param") {
      i.mode = InjectMode::query_param;
      i.query_param = d_.query_param_name.value_or("");
      if (!only(i.query_param, "_-"))
        complain("query_param wants query_param_name (letters, digits, '_', '-')");
    } else if (d_.inject_mode == "url_path") {
      i.mode = InjectMode::url_path;
      i.path_pattern = d_.path_pattern.value_or("");
      i.path_replacement = d_.path_replacement.value_or(i.path_pattern);
      if (!one_hole(i.path_pattern)) complain("url_path wants path_pattern with one {} in it");
      if (!one_hole(i.path_replacement)) complain("path_replacement wants one {} in it");
    } else {
      complain("inject_mode: no mode is called " + d_.inject_mode +
               suggestion(d_.inject_mode, {"header", "basic_auth", "query_param", "url_path"}));
    }
  }

  static bool one_hole(const std::string& text) {
    std::size_t hole = text.find("{}");
    return hole != std::string::npos && text.find("{}", hole + 2) == std::string::npos &&
           printable(text);
  }

  void header() {
    Injection& i = route_.injection;
    i.header = d_.inject_header.value_or("Authorization");
    if (!only(i.header, "!#$%&'*+-.^_`|~")) return complain("inject_header is no field name");
    std::string folded = upper_name(i.header);
    for (std::string_view framing : {"HOST", "CONNECTION", "CONTENT_LENGTH", "TRANSFER_ENCODING",
                                     "TE", "TRAILER", "UPGRADE", "KEEP_ALIVE", "EXPECT"}) {
      if (folded == framing) return complain("inject_header: " + i.header + " cannot carry a key");
    }
    i.format = d_.credential_format.value_or(folded == "AUTHORIZATION" ? "Bearer {}" : "{}");
    if (!one_hole(i.format)) complain("credential_format wants one {} and no control characters");
  }

  Problems& problems_;
  const YAML::Node& node_;
  std::string name_;
  Definition d_;
  CredentialRoute route_;
  std::size_t complaints_ = 0;
};

}  // namespace

void read_custom_credentials(Problems& problems, const YAML::Node& node, std::string_view key,
                             Settings& out) {
  if (!is_map(problems, node, key)) return;
  for (const auto& item : node) {
    const std::string& name = item.first.Scalar();
    if (!only(name, "-_.")) {
      problems.at(item.first, fmt::format("{}: a name has letters, digits, '-', '_' and '.'", key));
    } else if (out.custom_credentials.count(name) != 0) {
      problems.at(item.first, fmt::format("duplicate key {}.{}", key, name));
    } else if (is_map(problems, item.second, name)) {
      std::optional<CredentialRoute> route = RouteMaker(problems, item.second, name).make();
      if (route) out.custom_credentials.emplace(name, std::move(*route));
    }
  }
}

}  // namespace nono::document
