#include "proxy/intercept/substitute.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "config/base/encoding.hpp"
#include "proxy/intercept/field_values.hpp"

namespace nono::intercept {

namespace {

// Header fields and query parameters in which clients of one vendor or another send keys. A foreign
// key in any of them could carry data out to an account that is not the user's.
constexpr std::array<std::string_view, 8> key_fields = {
    "Authorization", "X-Api-Key", "Api-Key",      "X-Goog-Api-Key",
    "Private-Token", "Job-Token", "X-Auth-Token", "X-Access-Token"};
constexpr std::array<std::string_view, 5> key_parameters = {"access_token", "private_token",
                                                            "api_key", "apikey", "api-key"};
constexpr std::string_view google_field = "X-Goog-Api-Key";
constexpr std::string_view google_parameter = "key";

enum class Holds : std::uint8_t { nothing, phantom, foreign, garbage };

bool is_place(std::string_view name, const Injection& injection) {
  return injection.mode == InjectMode::header && http::equal_name(name, injection.header);
}

bool is_key_field(std::string_view name, const Injection& injection) {
  if (is_place(name, injection)) return true;
  return std::any_of(key_fields.begin(), key_fields.end(),
                     [&](std::string_view field) { return http::equal_name(name, field); });
}

bool is_key_parameter(std::string_view name, const Injection& injection) {
  if (injection.mode == InjectMode::query_param && name == injection.query_param) return true;
  if (name == google_parameter) return http::equal_name(injection.header, google_field);
  return std::find(key_parameters.begin(), key_parameters.end(), name) != key_parameters.end();
}

// What follows the scheme of a credentials field, if that is its scheme.
std::optional<std::string_view> after_scheme(std::string_view value, std::string_view scheme) {
  if (value.size() < scheme.size() || !http::equal_name(value.substr(0, scheme.size()), scheme)) {
    return std::nullopt;
  }
  if (value.size() > scheme.size() && value[scheme.size()] != ' ') return std::nullopt;
  return trim(value.substr(scheme.size()));
}

struct FieldCredential {
  Holds holds = Holds::nothing;
  std::string basic;  // user:password, where it came as Basic
};

FieldCredential read_field(std::string_view value, std::string_view phantom) {
  value = trim(value);
  if (value.empty()) return {};
  for (const std::string_view scheme : {"Bearer", "token"}) {
    const auto rest = after_scheme(value, scheme);
    if (rest && rest->empty()) return {};
  }
  if (const auto rest = after_scheme(value, "Basic")) {
    const auto pair = base64_decode(*rest);
    if (!pair) return {Holds::garbage, {}};
    if (pair->empty() || *pair == ":") return {};
    const bool ours = pair->find(phantom) != pair->npos;
    return {ours ? Holds::phantom : Holds::foreign, *pair};
  }
  return {value.find(phantom) != value.npos ? Holds::phantom : Holds::foreign, {}};
}

struct Parameter {
  std::string_view text;  // as written: name=value
  std::string name;       // decoded
  Holds holds = Holds::nothing;
};

std::vector<Parameter> read_query(std::string_view query, const LoadedCredential& credential) {
  std::vector<Parameter> parameters;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    Parameter parameter;
    parameter.text = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(parameter.text.find('='), parameter.text.size());
    parameter.name = percent_decode(parameter.text.substr(0, equals));
    const std::string value =
        percent_decode(parameter.text.substr(std::min(equals + 1, parameter.text.size())));
    if (value.find(credential.phantom) != value.npos) {
      parameter.holds = Holds::phantom;
    } else if (!value.empty() && is_key_parameter(parameter.name, credential.route.injection)) {
      parameter.holds = Holds::foreign;
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

// Where in a path the pattern `before{}after` puts the key.
struct PathSlot {
  std::size_t begin = 0, size = 0;  // the whole match
  Holds holds = Holds::nothing;
};

std::optional<PathSlot> find_slot(std::string_view path, const LoadedCredential& credential) {
  const Injection& injection = credential.route.injection;
  if (injection.mode != InjectMode::url_path) return std::nullopt;
  const std::string_view pattern = injection.path_pattern;
  const std::size_t hole = pattern.find("{}");
  if (hole == pattern.npos) return std::nullopt;
  const std::string_view before = pattern.substr(0, hole), after = pattern.substr(hole + 2);
  const std::size_t begin = path.find(before);
  if (begin == path.npos) return std::nullopt;
  const std::size_t key_begin = begin + before.size();
  const std::size_t segment_end = std::min(path.find('/', key_begin), path.size());
  const std::size_t key_end =
      after.empty() ? segment_end : std::min(path.find(after, key_begin), path.size());
  if (key_end > segment_end || path.substr(key_end, after.size()) != after) return std::nullopt;
  const std::string key = percent_decode(path.substr(key_begin, key_end - key_begin));
  PathSlot slot{begin, key_end + after.size() - begin, Holds::foreign};
  if (key.empty()) slot.holds = Holds::nothing;
  if (key == credential.phantom) slot.holds = Holds::phantom;
  return slot;
}

// Everything about credentials that one request says.
struct Presented {
  std::string_view path;
  bool has_query = false;
  std::vector<Parameter> parameters;
  std::optional<PathSlot> slot;
  std::string basic;             // the pair that holds the phantom, where Basic was used
  bool field_elsewhere = false;  // a field that is not the key's own place holds the phantom
  bool phantom = false, foreign = false, garbage = false;

  void note(Holds holds) {
    phantom = phantom || holds == Holds::phantom;
    foreign = foreign || holds == Holds::foreign;
    garbage = garbage || holds == Holds::garbage;
  }
};

Presented read_request(const http::RequestHead& head, const LoadedCredential& credential) {
  Presented presented;
  const std::string_view target = head.target;
  const std::size_t question = std::min(target.find('?'), target.size());
  presented.path = target.substr(0, question);
  presented.has_query = question < target.size();
  if (presented.has_query) {
    presented.parameters = read_query(target.substr(question + 1), credential);
    for (const Parameter& parameter : presented.parameters) presented.note(parameter.holds);
  }
  presented.slot = find_slot(presented.path, credential);
  if (presented.slot) presented.note(presented.slot->holds);
  for (const http::Field& field : head.fields.all()) {
    if (!is_key_field(field.name, credential.route.injection)) continue;
    const FieldCredential found = read_field(field.value, credential.phantom);
    presented.note(found.holds);
    if (found.holds != Holds::phantom) continue;
    if (!is_place(field.name, credential.route.injection)) presented.field_elsewhere = true;
    if (!found.basic.empty()) presented.basic = found.basic;
  }
  return presented;
}

std::string fill(std::string_view format, std::string_view key) {
  const std::size_t hole = format.find("{}");
  std::string out(format.substr(0, hole));
  out += key;
  if (hole != format.npos) out += format.substr(hole + 2);
  return out;
}

// A key without a colon takes the phantom's place in the pair that the client sent; where it sent
// none, it is the user name, as vendors with one key have it.
std::string basic_pair(std::string_view key, const Presented& presented, std::string_view phantom) {
  if (key.find(':') != key.npos) return std::string(key);
  const std::size_t place = presented.basic.find(phantom);
  if (place == presented.basic.npos) return std::string(key) + ":";
  std::string pair = presented.basic;
  pair.replace(place, phantom.size(), key);
  return pair;
}

// The target with the phantom's parameters gone and the key in its place, if that is in the target.
std::string rewrite_target(const Presented& presented, const LoadedCredential& credential) {
  const Injection& injection = credential.route.injection;
  const std::string_view key = credential.secret->expose();
  std::string target(presented.path);
  if (injection.mode == InjectMode::url_path && presented.slot) {
    const std::string& format =
        injection.path_replacement.empty() ? injection.path_pattern : injection.path_replacement;
    std::string encoded = percent_encode_segment(key);
    std::string filled = fill(format, encoded);
    target.replace(presented.slot->begin, presented.slot->size, filled);
    wipe(encoded.data(), encoded.size());
    wipe(filled.data(), filled.size());
  }
  char separator = '?';
  const auto append = [&](std::string_view text) {
    target += separator;
    target += text;
    separator = '&';
  };
  const bool in_query = injection.mode == InjectMode::query_param;
  bool injected = false;
  const auto inject = [&] {
    std::string parameter = injection.query_param + "=" + percent_encode(key);
    append(parameter);
    wipe(parameter.data(), parameter.size());
    injected = true;
  };
  for (const Parameter& parameter : presented.parameters) {
    const bool place = in_query && parameter.name == injection.query_param;
    if (place && !injected) inject();
    if (!place && parameter.holds != Holds::phantom) append(parameter.text);
  }
  if (in_query && !injected) inject();
  return target;
}

void remove_phantom_fields(http::Fields& fields, const LoadedCredential& credential) {
  const auto carries = [&](const http::Field& field) {
    return is_key_field(field.name, credential.route.injection) &&
           read_field(field.value, credential.phantom).holds == Holds::phantom;
  };
  http::FieldList& all = fields.all();
  all.erase(std::remove_if(all.begin(), all.end(), carries), all.end());
}

void inject_field(http::RequestHead& head, const Presented& presented,
                  const LoadedCredential& credential) {
  const Injection& injection = credential.route.injection;
  const std::string_view key = credential.secret->expose();
  if (injection.mode == InjectMode::header) {
    std::string value = fill(injection.format, key);
    head.fields.set(injection.header, value);
    wipe(value.data(), value.size());
  } else if (injection.mode == InjectMode::basic_auth) {
    std::string pair = basic_pair(key, presented, credential.phantom);
    std::string value = "Basic " + base64_encode(pair);
    head.fields.set("Authorization", value);
    wipe(pair.data(), pair.size());
    wipe(value.data(), value.size());
  }
}

bool has_controls(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

tl::unexpected<SubstituteFailure> refuse(SubstituteRefusal refusal, ErrorCode code, Side side,
                                         std::string what, std::string fix) {
  Error error{side, code, std::move(what), std::move(fix)};
  return tl::unexpected<SubstituteFailure>(SubstituteFailure{refusal, std::move(error)});
}

// Why no key may be put into this request, if so.
std::optional<tl::unexpected<SubstituteFailure>> check(const Presented& presented,
                                                       const LoadedCredential& credential,
                                                       SubstituteMode mode) {
  const std::string& name = credential.route.name;
  if (presented.garbage) {
    return refuse(SubstituteRefusal::malformed, ErrorCode::bad_request, Side::client,
                  "the Authorization field is no valid Basic credential", {});
  }
  if (presented.foreign) {
    return refuse(
        SubstituteRefusal::foreign_credential, ErrorCode::refused, Side::client,
        "the request carries a key that is not the one nono gave out for " + name,
        "send the placeholder key from the environment; nono puts the real one in its place");
  }
  if (!presented.phantom) {
    if (mode == SubstituteMode::intercept) return std::nullopt;
    return refuse(SubstituteRefusal::missing_phantom, ErrorCode::unauthorized, Side::client,
                  "the request carries no key for " + name,
                  "send the placeholder key from the environment as the API key");
  }
  if (!credential.secret || credential.secret->empty()) {
    return refuse(SubstituteRefusal::secret_missing, ErrorCode::secret_missing, Side::self,
                  "there is no key for " + name, credential.missing);
  }
  if (has_controls(credential.secret->expose())) {
    return refuse(SubstituteRefusal::secret_missing, ErrorCode::secret_missing, Side::self,
                  "the key for " + name + " holds control characters, which no request can carry",
                  "store it again without them");
  }
  if (credential.route.injection.mode == InjectMode::url_path && !presented.slot) {
    return refuse(SubstituteRefusal::malformed, ErrorCode::bad_request, Side::client,
                  "the path has no place for the key of " + name,
                  "use a path of the form " + credential.route.injection.path_pattern);
  }
  return std::nullopt;
}

}  // namespace

const LoadedCredential* presented(const http::RequestHead& head,
                                  std::span<const LoadedCredential* const> credentials) {
  for (const LoadedCredential* credential : credentials) {
    if (read_request(head, *credential).phantom) return credential;
  }
  return nullptr;
}

tl::expected<Substitution, SubstituteFailure> substitute(http::RequestHead& head,
                                                         const LoadedCredential& credential,
                                                         SubstituteMode mode) {
  const Presented presented = read_request(head, credential);
  if (const auto failure = check(presented, credential, mode)) return *failure;
  Substitution result;
  result.credential = credential.route.name;
  if (!presented.phantom) return result;
  std::string target = rewrite_target(presented, credential);
  if (presented.field_elsewhere) remove_phantom_fields(head.fields, credential);
  inject_field(head, presented, credential);
  head.target = std::move(target);
  result.used = true;
  return result;
}

void wipe_head(http::RequestHead& head) noexcept {
  wipe(head.target.data(), head.target.size());
  for (http::Field& field : head.fields.all()) wipe(field.value.data(), field.value.size());
}

}  // namespace nono::intercept
