// POST /sessions: the JSON that a client sends, taken apart.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "config/base/on_exit.hpp"
#include "proxy/admin/sessions_api.hpp"

namespace nono::admin {

namespace {

using nlohmann::json;

constexpr std::size_t environment_max = 256;
constexpr int depth_max = 32;  // no entry comes near; what walks through values calls itself
constexpr std::int64_t ttl_seconds_max = 366LL * 24 * 3600;

tl::unexpected<Error> bad(std::string what) {
  return fail(ErrorCode::bad_input, std::move(what), {}, Side::client);
}

// nlohmann keeps the last of two equal keys; here two are one too many, on any level.
class DuplicateKeys {
 public:
  bool operator()(int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open_.emplace_back();
    if (event == json::parse_event_t::object_end && !open_.empty()) open_.pop_back();
    if (event == json::parse_event_t::key &&
        !open_.back().insert(value.get<std::string>()).second) {
      found_ = value.get<std::string>();
    }
    return true;
  }
  const std::string& found() const { return found_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::string found_;
};

bool is_variable_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && !(name.front() >= '0' && name.front() <= '9') &&
         std::all_of(name.begin(), name.end(), fits);
}

void wipe_strings(json& value) {
  if (value.is_string()) {
    auto& text = value.get_ref<std::string&>();
    wipe(text.data(), text.size());
  }
  if (value.is_structured()) {
    for (json& inner : value) wipe_strings(inner);
  }
}

Result<void> take_environment(json& root, SessionRequest& out) {
  const auto at = root.find("environment");
  if (at == root.end()) return {};
  if (!at->is_object()) return bad("environment: expected an object of names and values");
  if (at->size() > environment_max) {
    return bad(fmt::format("environment: at most {} variables", environment_max));
  }
  for (auto& [name, value] : at->items()) {
    if (!is_variable_name(name)) return bad("environment: a name is no name of a variable");
    if (!value.is_string()) return bad("environment." + name + ": expected a string");
    const auto& text = value.get_ref<const std::string&>();
    if (text.find('\0') != std::string::npos) return bad("environment." + name + ": holds a NUL");
    out.environment.emplace(name, Secret(text));
  }
  wipe_strings(*at);
  root.erase(at);
  return {};
}

Result<void> take_extends(json& root, SessionRequest& out) {
  const auto at = root.find("extends");
  if (at == root.end()) return {};
  const json list = at->is_array() ? *at : json::array({*at});
  for (const json& item : list) {
    if (!item.is_string()) return bad("extends: expected the names of profiles");
    out.extends.push_back(item.get<std::string>());
  }
  root.erase(at);
  return {};
}

Result<void> take_ttl(json& root) {
  const auto at = root.find("ttl_seconds");
  if (at == root.end()) return {};
  if (root.contains("ttl")) return bad("ttl and ttl_seconds: one of them");
  const bool fits = at->is_number_integer() && at->get<std::int64_t>() >= 1 &&
                    at->get<std::int64_t>() <= ttl_seconds_max;
  if (!fits) return bad(fmt::format("ttl_seconds: a whole number from 1 to {}", ttl_seconds_max));
  const std::string ttl = fmt::format("{}s", at->get<std::int64_t>());
  root.erase(at);
  root["ttl"] = ttl;
  return {};
}

}  // namespace

Result<SessionRequest> parse_session_request(std::string& body) {
  const OnExit wiped([&] { wipe(body.data(), body.size()); });
  DuplicateKeys duplicates;
  bool too_deep = false;
  const auto look = [&](int depth, json::parse_event_t event, json& value) {
    too_deep = too_deep || depth > depth_max;
    return depth <= depth_max && duplicates(depth, event, value);
  };
  json root = json::parse(body, look, false);
  // Whatever goes wrong from here on: the values may be keys.
  const OnExit dom_wiped([&] { wipe_strings(root); });
  if (too_deep) return bad(fmt::format("the body is nested more than {} deep", depth_max));
  if (root.is_discarded()) return bad("the body is no JSON text");
  if (!root.is_object()) return bad("the body must be a JSON object");
  if (!duplicates.found().empty()) return bad("duplicate key " + duplicates.found());
  SessionRequest out;
  if (auto taken = take_environment(root, out); !taken) return fail(taken.error());
  if (auto taken = take_extends(root, out); !taken) return fail(taken.error());
  if (auto taken = take_ttl(root); !taken) return fail(taken.error());
  if (root.contains("token")) return bad("token: the proxy makes it");
  // Who asks need not be who may write where the proxy may.
  if (root.contains("env_file")) {
    return bad("env_file: who makes a session writes it (nono session create --env-file)");
  }
  out.entry = root.dump();
  return out;
}

}  // namespace nono::admin
