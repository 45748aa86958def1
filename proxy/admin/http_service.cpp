#include "proxy/admin/http_service.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <cerrno>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "config/base/host.hpp"
#include "config/base/on_exit.hpp"
#include "config/base/secret.hpp"
#include "proxy/admin/request_body.hpp"
#include "proxy/http/body.hpp"
#include "proxy/net/tcp_stream.hpp"

namespace nono::admin {

namespace {

constexpr std::chrono::milliseconds accept_pause{100};  // when descriptors or memory ran out
constexpr std::size_t turned_away_max = 16;
constexpr std::string_view head_too_slow =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

std::string_view phrase_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

std::string render(const Response& response, bool head_only, bool close) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, phrase_of(response.status));
  const bool empty = response.status == 204;
  if (!empty) {
    out += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\n", response.type,
                       response.body.size());
  }
  for (const http::Field& field : response.fields) {
    out += fmt::format("{}: {}\r\n", field.name, field.value);
  }
  out += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  out += close ? "Connection: close\r\n\r\n" : "\r\n";
  if (!empty && !head_only) out += response.body;
  return out;
}

// What to answer to a head or body that cannot be read; nothing where nobody asked or listens.
std::optional<Response> answer_to(const Error& error) {
  switch (error.code) {
    case ErrorCode::closed:
    case ErrorCode::timeout:
    case ErrorCode::io:
      return std::nullopt;
    case ErrorCode::head_too_large:
      return problem(431, error.what);
    case ErrorCode::target_too_long:
      return problem(414, error.what);
    case ErrorCode::body_too_large:
      return problem(413, error.what);
    default:
      return problem(400, error.what);
  }
}

bool is_local_name(std::string_view host, const std::vector<std::string>& names) {
  const auto parsed = parse_host_port(host, http_port);
  if (!parsed) return false;
  if (!parsed->host.is_name()) return true;
  const std::string& name = parsed->host.name().text();
  return name == "localhost" || std::find(names.begin(), names.end(), name) != names.end();
}

bool same_user(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

}  // namespace

Response problem(int status, std::string_view detail, std::string_view fix) {
  nlohmann::ordered_json body = {{"type", "about:blank"},
                                 {"title", phrase_of(status)},
                                 {"status", status},
                                 {"detail", detail},
                                 {"fix", fix}};
  Response response;
  response.status = status;
  response.type = "application/problem+json";
  response.body = body.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  return response;
}

// Held by the service and by every coroutine of it: what is under way ends in its own time.
class HttpService::State : public std::enable_shared_from_this<State> {
 public:
  State(Executor executor, UniqueFd listener, Handler handler, ServiceOptions options)
      : executor_(executor),
        deadlines_(executor),
        retry_(executor),
        listener_(executor, listener.release()),
        handler_(std::move(handler)),
        options_(std::move(options)) {
    net::use_service<Poller>(executor.context());  // there may be no descriptor left for it later
    take_spare();
  }

  void start() { spawn(accept_loop(shared_from_this())); }

  void stop() {
    stopping_ = true;
    retry_.cancel();
    listener_.close();
    for (TcpStream* stream : std::set<TcpStream*>(streams_)) stream->close();
    deadlines_.stop();
  }

 private:
  struct Visit;

  void spawn(Awaitable<void> coroutine) {
    // Handlers answer with values; what escapes one all the same ends its connection only.
    net::co_spawn(executor_, std::move(coroutine), [](const std::exception_ptr&) {});
  }

  static Awaitable<void> accept_loop(std::shared_ptr<State> self);
  bool accept_one(UniqueFd& out);
  void take_spare() { spare_ = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
  static Awaitable<void> serve(std::shared_ptr<State> self, UniqueFd fd);
  static Awaitable<void> turn_away(std::shared_ptr<State> self, UniqueFd fd, Response response);
  Awaitable<bool> serve_one(Visit& visit);
  Awaitable<bool> answer(Visit& visit, const Response& response, bool head_only, bool keep);
  std::optional<Response> refusal(const http::RequestHead& head) const;

  Executor executor_;
  Deadlines deadlines_;
  SteadyTimer retry_;
  StreamDescriptor listener_;
  Handler handler_;
  ServiceOptions options_;
  UniqueFd spare_;  // given up for one connection when there is no other descriptor left
  std::set<TcpStream*> streams_;
  std::size_t turned_away_ = 0;  // of them
  bool stopping_ = false;
};

// One connection. Known to the state as long as it lives.
struct HttpService::State::Visit {
  Visit(State& owner, UniqueFd socket)
      : state(owner), stream(std::move(socket), owner.executor_, owner.deadlines_) {
    state.streams_.insert(&stream);
  }
  ~Visit() { state.streams_.erase(&stream); }
  State& state;
  TcpStream stream;
  http::InputBuffer in;
  bool first = true;
};

// False: none waits, or none can be had now. With the last descriptor gone, the spare one serves: a
// proxy out of descriptors must still be able to say so.
bool HttpService::State::accept_one(UniqueFd& out) {
  constexpr int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (!spare_) take_spare();
  int fd = ::accept4(listener_.native_handle(), nullptr, nullptr, flags);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare_) {
    spare_.reset();
    fd = ::accept4(listener_.native_handle(), nullptr, nullptr, flags);
  }
  out = UniqueFd(fd);
  return fd >= 0;
}

Awaitable<void> HttpService::State::accept_loop(std::shared_ptr<State> self) {
  while (!self->stopping_) {
    auto [code] = co_await self->listener_.async_wait(StreamDescriptor::wait_read, as_result);
    if (code) co_return;
    UniqueFd fd;
    errno = 0;
    if (!self->accept_one(fd)) {
      if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) continue;
      if (errno == EBADF || errno == EINVAL) co_return;
      self->retry_.expires_after(accept_pause);
      co_await self->retry_.async_wait(as_result);
      continue;
    }
    if (self->options_.same_user_only && !same_user(fd.get())) {
      Response no = problem(403, "this socket is for another user of this machine",
                            "ask as the user that runs the proxy");
      self->spawn(turn_away(self, std::move(fd), std::move(no)));
    } else if (self->streams_.size() - self->turned_away_ >= self->options_.connections_max) {
      Response no = problem(503, "as many connections as there may be", "close some");
      no.fields.push_back(http::Field{"Retry-After", "1"});
      self->spawn(turn_away(self, std::move(fd), std::move(no)));
    } else {
      self->spawn(serve(self, std::move(fd)));
    }
  }
}

// Says so, and reads the request away for a moment: closing on it would lose the answer. A flood of
// them holds few descriptors.
Awaitable<void> HttpService::State::turn_away(std::shared_ptr<State> self, UniqueFd fd,
                                              Response response) {
  const std::string text = render(response, false, true);
  Visit visit(*self, std::move(fd));
  ++self->turned_away_;
  const OnExit left([&] { --self->turned_away_; });
  visit.stream.expires_after(self->options_.write_time_max);
  auto written = co_await visit.stream.write_all(text);
  if (written && self->turned_away_ <= turned_away_max) co_await visit.stream.close_gracefully();
}

Awaitable<void> HttpService::State::serve(std::shared_ptr<State> self, UniqueFd fd) {
  {
    Visit visit(*self, std::move(fd));
    bool keep = visit.stream.is_open();
    while (keep && !self->stopping_) {
      keep = co_await self->serve_one(visit);
      visit.first = false;
    }
    if (visit.stream.is_open() && !self->stopping_) {
      co_await visit.stream.close_gracefully();
    }
  }
  if (!self->spare_) self->take_spare();
}

std::optional<Response> HttpService::State::refusal(const http::RequestHead& head) const {
  if (options_.local_names_only) {
    const std::string* host = head.fields.find("Host");
    if (host == nullptr || !is_local_name(*host, options_.names)) {
      return problem(421, "this server has no such name", "ask for its address, or for localhost");
    }
  }
  const std::string& method = head.method;
  if (method != "GET" && method != "HEAD" && method != "POST" && method != "DELETE") {
    Response no = problem(405, "no such method here");
    no.fields.push_back(http::Field{"Allow", "GET, HEAD, POST, DELETE"});
    return no;
  }
  if (head.target.empty() || head.target.front() != '/') {
    return problem(400, "the request target must be a path", "this is no proxy");
  }
  return std::nullopt;
}

// True where another request may follow.
Awaitable<bool> HttpService::State::serve_one(Visit& visit) {
  visit.stream.reads_expire_after(visit.first ? options_.head_time_max
                                              : options_.keep_alive_time_max);
  auto head = co_await http::read_request_head(visit.stream, visit.in, options_.head_limits);
  if (!head) {
    if (visit.first && head.error().code == ErrorCode::timeout) {
      visit.stream.expires_after(options_.write_time_max);
      co_await visit.stream.write_all(head_too_slow);
      co_return false;
    }
    const std::optional<Response> said = answer_to(head.error());
    if (!said) co_return false;
    co_return co_await answer(visit, *said, false, false);
  }
  const bool head_only = head->method == "HEAD";
  if (const std::optional<Response> no = refusal(*head)) {
    co_return co_await answer(visit, *no, head_only, false);
  }
  visit.stream.expires_after(options_.body_time_max);
  BodyReader reader(visit.stream, visit.in, options_.body_bytes_max);
  auto body = co_await reader.read(*head);
  if (!body) {
    const std::optional<Response> said = answer_to(body.error());
    if (!said) co_return false;
    co_return co_await answer(visit, *said, false, false);
  }
  visit.stream.never_expires();
  Request request;
  request.method = head_only ? "GET" : head->method;
  const std::size_t mark = head->target.find('?');
  request.path = head->target.substr(0, mark);
  if (mark != std::string::npos) request.query = head->target.substr(mark + 1);
  request.body = std::move(*body);
  const Response response = co_await handler_(std::move(request));
  co_return co_await answer(visit, response, head_only, head->keep_alive);
}

Awaitable<bool> HttpService::State::answer(Visit& visit, const Response& response, bool head_only,
                                           bool keep) {
  keep = keep && !stopping_;
  std::string text = render(response, head_only, !keep);
  visit.stream.expires_after(options_.write_time_max);
  auto written = co_await visit.stream.write_all(text);
  wipe(text.data(), text.size());  // a session that was just made has its token in it
  if (!written) visit.stream.close();
  co_return written.has_value() && keep;
}

HttpService::HttpService(Executor executor, UniqueFd listener, Handler handler,
                         ServiceOptions options)
    : state_(std::make_shared<State>(executor, std::move(listener), std::move(handler),
                                     std::move(options))) {
  state_->start();
}

HttpService::~HttpService() {
  state_->stop();
}

}  // namespace nono::admin
