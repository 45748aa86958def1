#include "proxy/admin/sessions_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

namespace nono::admin {

namespace {

using nlohmann::ordered_json;

constexpr std::string_view prefix = "/sessions/";

std::string utc(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

ordered_json utc_or_null(const std::optional<std::chrono::system_clock::time_point>& time) {
  if (!time) return nullptr;
  return utc(*time);
}

ordered_json as_json(const ListedSession& session) {
  ordered_json out;
  out["name"] = session.name;
  if (!session.profile.empty()) out["profile"] = session.profile;
  out["origin"] = session.origin;
  out["created"] = utc(session.created);
  out["expires"] = utc_or_null(session.expires);
  out["connections"] = session.connections;
  out["requests"] = session.requests;
  out["bytes_to_upstream"] = session.bytes_to_upstream;
  out["bytes_to_client"] = session.bytes_to_client;
  out["credentials"] = session.credentials;
  out["listen"] = session.listen;
  return out;
}

Response json_response(int status, const ordered_json& body) {
  Response response;
  response.status = status;
  response.type = "application/json";
  response.body = body.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n";
  return response;
}

Response not_found(std::string_view name) {
  return problem(404, fmt::format("there is no session called {}", name),
                 "nono session list names them");
}

Response no_method(std::string_view allow) {
  Response no = problem(405, "no such method here");
  no.fields.push_back(http::Field{"Allow", std::string(allow)});
  return no;
}

Response problem_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::bad_input:
    case ErrorCode::secret_missing:
      return problem(422, error.what, error.fix);
    case ErrorCode::limit:
      return problem(503, error.what, error.fix);
    default:
      return problem(500, error.what, error.fix);
  }
}

bool known(const SessionAdmin& admin, std::string_view name) {
  const std::vector<ListedSession> all = admin.list();
  return std::any_of(all.begin(), all.end(),
                     [&](const ListedSession& session) { return session.name == name; });
}

std::string asked_name(const SessionRequest& request) {
  const auto entry = ordered_json::parse(request.entry);
  const auto name = entry.find("name");
  return name != entry.end() && name->is_string() ? name->get<std::string>() : std::string();
}

Response created(const CreatedSession& session) {
  ordered_json body;
  body["name"] = session.name;
  body["token"] = std::string(session.token.expose());
  body["listen"] = session.listen;
  body["expires"] = utc_or_null(session.expires);
  body["variables"] = session.variables;
  Response response = json_response(201, body);
  response.fields.push_back(http::Field{"Location", fmt::format("{}{}", prefix, session.name)});
  auto& copy = body["token"].get_ref<std::string&>();
  wipe(copy.data(), copy.size());
  return response;
}

Awaitable<Response> create(SessionAdmin& admin, Request request) {
  auto parsed = parse_session_request(request.body);
  if (!parsed) co_return problem(400, parsed.error().what);
  const std::string name = asked_name(*parsed);
  if (!name.empty() && known(admin, name)) {
    co_return problem(409, fmt::format("there is a session called {} already", name),
                      "choose another name, or revoke it first");
  }
  auto session = co_await admin.create(std::move(*parsed));
  if (!session) co_return problem_of(session.error());
  co_return created(*session);
}

Response list(const SessionAdmin& admin) {
  ordered_json sessions = ordered_json::array();
  for (const ListedSession& session : admin.list()) sessions.push_back(as_json(session));
  ordered_json body;
  body["sessions"] = std::move(sessions);
  return json_response(200, body);
}

Response one(const SessionAdmin& admin, std::string_view name) {
  for (const ListedSession& session : admin.list()) {
    if (session.name == name) return json_response(200, as_json(session));
  }
  return not_found(name);
}

Response revoke(SessionAdmin& admin, const std::string& name) {
  if (!known(admin, name)) return not_found(name);
  auto revoked = admin.revoke(name);
  if (!revoked && revoked.error().code == ErrorCode::bad_input) {
    return problem(409, revoked.error().what, revoked.error().fix);
  }
  if (!revoked) return problem_of(revoked.error());
  Response response;
  response.status = 204;
  return response;
}

Awaitable<Response> answer(SessionAdmin& admin, Request request) {
  if (request.path == "/sessions") {
    if (request.method == "POST") co_return co_await create(admin, std::move(request));
    if (request.method == "GET") co_return list(admin);
    co_return no_method("GET, HEAD, POST");
  }
  if (request.path.starts_with(prefix) && request.path.size() > prefix.size()) {
    const std::string name = request.path.substr(prefix.size());
    if (request.method == "GET") co_return one(admin, name);
    if (request.method == "DELETE") co_return revoke(admin, name);
    co_return no_method("GET, HEAD, DELETE");
  }
  co_return problem(404, "nothing is here", "ask for /sessions");
}

}  // namespace

HttpService::Handler sessions_api(SessionAdmin& admin) {
  return [&admin](Request request) { return answer(admin, std::move(request)); };
}

}  // namespace nono::admin
