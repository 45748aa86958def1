// nono session: create, list, revoke, through the admin socket of a proxy that runs.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "proxy/admin/admin_client.hpp"
#include "proxy/cli/admin_place.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/env_file.hpp"
#include "proxy/cli/session_entry.hpp"
#include "proxy/cli/session_settings.hpp"

namespace nono::cli {

namespace {

using nlohmann::ordered_json;

Result<ordered_json> parse_answer(const std::string& text) {
  ordered_json answer = ordered_json::parse(text, nullptr, false);
  if (answer.is_discarded()) {
    return fail(ErrorCode::bad_response, "the proxy's answer is no JSON",
                "is the admin socket one of nono's?");
  }
  return answer;
}

std::string text_of(const ordered_json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

Variables variables_of(const ordered_json& answer) {
  Variables variables;
  const auto at = answer.find("variables");
  if (at == answer.end() || !at->is_object()) return variables;
  for (const auto& [name, value] : at->items()) {
    if (value.is_string()) variables[name] = value.get<std::string>();
  }
  return variables;
}

// Before the file is written, so that no later line of the job can show them.
std::string masks(const ordered_json& answer, const Variables& variables) {
  std::string lines = "::add-mask::" + text_of(answer, "token") + "\n";
  for (const auto& [name, value] : variables) {
    if (value.find("nono_") != std::string::npos) lines += "::add-mask::" + value + "\n";
  }
  return lines;
}

// The token, and the variables that hold it, only where they were asked for.
std::string shown(const SessionOptions& options, ordered_json answer) {
  if (!options.print_token) answer.erase("token");
  if (!options.print_token) answer.erase("variables");
  return answer.dump(2) + "\n";
}

Result<void> hand_out(const SessionOptions& options, const UserContext& user,
                      const ordered_json& answer) {
  const Variables variables = variables_of(answer);
  if (options.env_file) {
    const EnvFileFormat format = options.env_format.value_or(EnvFileFormat::shell);
    if (variables.empty()) {
      return fail(ErrorCode::bad_input,
                  "--env-file needs a TCP listener: no variable names a Unix socket");
    }
    if (format == EnvFileFormat::github) print_out(masks(answer, variables));
    Result<void> written = write_env_file(absolute(*options.env_file, user), format, variables);
    if (!written) return written;
  }
  if (options.json) {
    print_out(shown(options, answer));
    return {};
  }
  std::string lines = "session " + printable(text_of(answer, "name")) + "\n";
  if (options.print_token) lines += "token " + text_of(answer, "token") + "\n";
  for (const auto& place : answer.value("listen", ordered_json::array())) {
    if (place.is_string()) lines += "listening on " + printable(place.get<std::string>()) + "\n";
  }
  const std::string expires = text_of(answer, "expires");
  if (!expires.empty()) lines += "expires " + printable(expires) + "\n";
  print_out(lines);
  const bool listens = answer.contains("listen") && !answer["listen"].empty();
  if (!options.env_file && !options.print_token && !listens) {
    warn(options.common,
         "nobody knows the token: use --env-file or --print-token, or give it a --listen of its "
         "own");
  }
  return {};
}

int create(const SessionOptions& options, const UserContext& user, admin::AdminClient& proxy) {
  Result<std::string> request = session_request_body(options, user);
  if (!request) return complain(request.error());
  Result<std::string> answer = proxy.must("POST", "/sessions", *request);
  wipe(request->data(), request->size());
  if (!answer) return complain(answer.error());
  Result<ordered_json> session = parse_answer(*answer);
  if (!session) return complain(session.error());
  if (Result<void> done = hand_out(options, user, *session); !done) {
    // Nobody will ever use it.
    (void)proxy.must("DELETE", "/sessions/" + text_of(*session, "name"));
    return complain(done.error());
  }
  return 0;
}

std::string joined(const ordered_json& list) {
  std::string text;
  for (const auto& item : list) {
    if (!item.is_string()) continue;
    if (!text.empty()) text += ", ";
    text += item.get<std::string>();
  }
  return text;
}

int list(const SessionOptions& options, admin::AdminClient& proxy) {
  Result<std::string> answer = proxy.must("GET", "/sessions");
  if (!answer) return complain(answer.error());
  if (options.json) {
    print_out(*answer);
    return 0;
  }
  Result<ordered_json> sessions = parse_answer(*answer);
  if (!sessions) return complain(sessions.error());
  const ordered_json& all =
      sessions->is_object() ? sessions->value("sessions", ordered_json::array()) : *sessions;
  for (const ordered_json& session : all) {
    std::string line = fmt::format("{:<24} {:<6} {:>6} open {:>9} requests",
                                   text_of(session, "name"), text_of(session, "origin"),
                                   session.value("connections", 0), session.value("requests", 0));
    const std::string profile = text_of(session, "profile");
    if (!profile.empty()) line += "  profile " + profile;
    const std::string keys = joined(session.value("credentials", ordered_json::array()));
    if (!keys.empty()) line += "  keys " + keys;
    const std::string places = joined(session.value("listen", ordered_json::array()));
    if (!places.empty()) line += "  at " + places;
    const std::string expires = text_of(session, "expires");
    if (!expires.empty()) line += "  until " + expires;
    print_out(printable(line) + "\n");
  }
  return 0;
}

int revoke(const SessionOptions& options, admin::AdminClient& proxy) {
  Result<std::string> answer = proxy.must("DELETE", "/sessions/" + options.name);
  if (!answer) return complain(answer.error());
  if (!options.common.silent) print_err("nono: session " + options.name + " is revoked\n");
  return 0;
}

}  // namespace

int session_command(const SessionOptions& options, const UserContext& user) {
  admin::AdminClient proxy(admin_socket_path(options.admin_socket, user));
  switch (options.action) {
    case SessionOptions::Action::create:
      return create(options, user, proxy);
    case SessionOptions::Action::list:
      return list(options, proxy);
    case SessionOptions::Action::revoke:
      return revoke(options, proxy);
  }
  return exit_usage;
}

}  // namespace nono::cli
