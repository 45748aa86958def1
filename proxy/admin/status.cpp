#include "proxy/admin/status.hpp"

#include <fmt/format.h>

#include "proxy/metrics/prometheus.hpp"

namespace nono::admin {

namespace {

Response verdict(const std::vector<std::string>& complaints) {
  Response response;
  response.status = complaints.empty() ? 200 : 503;
  for (const std::string& complaint : complaints) response.body += complaint + "\n";
  if (complaints.empty()) response.body = "ok\n";
  return response;
}

Response answer(const StatusSource& source, const Request& request) {
  const bool metrics = request.path == "/metrics";
  const bool healthz = request.path == "/healthz";
  const bool readyz = request.path == "/readyz";
  if (!metrics && !healthz && !readyz) {
    return problem(404, "nothing is here", "ask for /metrics, /healthz or /readyz");
  }
  if (request.method != "GET") {
    Response no = problem(405, "this page can only be read");
    no.fields.push_back(http::Field{"Allow", "GET, HEAD"});
    return no;
  }
  if (healthz) return verdict(why_unhealthy(source.health()));
  if (readyz) return verdict(why_not_ready(source.health()));
  Response response;
  response.type = metrics::content_type;
  response.body = source.metrics();
  return response;
}

}  // namespace

std::vector<std::string> why_unhealthy(const Health& health) {
  std::vector<std::string> out;
  if (health.audit_required && health.audit_failing) {
    out.emplace_back(
        "the audit log cannot be written and is required: every request is refused until it can");
  }
  if (health.accept_paused) {
    out.emplace_back(
        "out of file descriptors or memory: new connections wait until others end; raise the limit "
        "on open files");
  }
  if (health.draining) out.emplace_back("the proxy is stopping");
  if (health.dns_failures_in_a_row >= dns_failures_max) {
    out.push_back(
        fmt::format("no DNS server answered the last {} look-ups", health.dns_failures_in_a_row));
  }
  if (health.oldest_heartbeat > heartbeat_age_max) {
    out.push_back(fmt::format(
        "a thread that serves connections has been stuck for {} s",
        std::chrono::duration_cast<std::chrono::seconds>(health.oldest_heartbeat).count()));
  }
  return out;
}

std::vector<std::string> why_not_ready(const Health& health) {
  std::vector<std::string> out;
  if (health.draining) out.emplace_back("the proxy is stopping");
  if (!health.listening && !health.draining) out.emplace_back("the proxy does not listen yet");
  if (health.sessions == 0) out.emplace_back("there is no session: nobody may use the proxy yet");
  return out;
}

HttpService::Handler status_pages(const StatusSource& source) {
  return [&source](Request request) -> Awaitable<Response> {
    const Request asked = std::move(request);
    co_return answer(source, asked);
  };
}

}  // namespace nono::admin
