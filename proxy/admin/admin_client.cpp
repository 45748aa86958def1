#include "proxy/admin/admin_client.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "config/base/fd.hpp"
#include "config/base/on_exit.hpp"
#include "config/base/secret.hpp"
#include "proxy/http/chunked.hpp"
#include "proxy/http/head.hpp"

namespace nono::admin {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t answer_bytes_max = 64 * 1024 * 1024;  // a list of very many sessions
constexpr http::HeadLimits answer_head_limits{64 * 1024, 8 * 1024, 100};

Error connect_error(int saved, const std::string& path) {
  if (saved == ENOENT || saved == ECONNREFUSED) {
    return Error{Side::self, ErrorCode::io, "no proxy listens on the admin socket " + path,
                 "start one with nono proxy, or name its socket with --admin-socket"};
  }
  if (saved == EACCES || saved == EPERM) {
    return Error{Side::self, ErrorCode::unauthorized,
                 "the admin socket " + path + " is another user's",
                 "ask as the user that runs the proxy"};
  }
  return errno_error(saved, "cannot reach the admin socket " + path);
}

class Call {
 public:
  Call(UniqueFd fd, Clock::time_point until, const std::string& path)
      : fd_(std::move(fd)), until_(until), path_(path) {}

  Result<void> send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count =
          ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
      // A peer that closes early has mostly said why: that is read.
      if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) return {};
      if (count >= 0 || errno == EINTR) continue;
      if (errno != EAGAIN) return fail(errno_error(errno, "cannot write to " + path_));
      if (auto ready = wait(POLLOUT); !ready) return ready;
    }
    return {};
  }

  // Everything until the proxy closes.
  Result<std::string> receive() {
    std::string text;
    char block[16 * 1024];
    for (;;) {
      const ssize_t count = ::recv(fd_.get(), block, sizeof block, MSG_DONTWAIT);
      if (count == 0 || (count < 0 && errno == ECONNRESET && !text.empty())) return text;
      if (count > 0) text.append(block, static_cast<std::size_t>(count));
      if (text.size() > answer_bytes_max) {
        return fail(ErrorCode::limit, "the answer on " + path_ + " does not end");
      }
      if (count >= 0 || errno == EINTR) continue;
      if (errno != EAGAIN) return fail(errno_error(errno, "cannot read from " + path_));
      if (auto ready = wait(POLLIN); !ready) return fail(ready.error());
    }
  }

 private:
  Result<void> wait(short events) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
    pollfd entry{fd_.get(), events, 0};
    const int ready = left > 0 ? ::poll(&entry, 1, static_cast<int>(left)) : 0;
    if (ready > 0 || (ready < 0 && errno == EINTR)) return {};
    return fail(ErrorCode::timeout, "the proxy did not answer on " + path_ + " in time",
                "look at its log");
  }

  UniqueFd fd_;
  Clock::time_point until_;
  const std::string& path_;
};

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::bad_input, "the admin socket's path must have 1 to 107 bytes: " + path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail(errno_error(errno, "cannot make a socket"));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(connect_error(errno, path));
  }
  return fd;
}

Result<Reply> parse(std::string_view text, std::string_view method, const std::string& path) {
  const auto unreadable = [&] {
    return fail(ErrorCode::bad_response, "what answers on " + path + " does not speak as nono does",
                "name the proxy's own socket with --admin-socket");
  };
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return unreadable();
  auto head = http::parse_response_head(text.substr(0, end + 4), answer_head_limits, method);
  if (!head) return unreadable();
  std::string_view body = text.substr(end + 4);
  const http::Framing& framing = head->framing;
  const bool whole =
      framing.kind == http::Framing::Kind::none
          ? body.empty()
          : framing.kind == http::Framing::Kind::length && body.size() == framing.length;
  if (!whole) return unreadable();
  Reply reply;
  reply.status = head->status;
  if (const std::string* type = head->fields.find("Content-Type")) reply.type = *type;
  reply.body = body;
  return reply;
}

}  // namespace

Result<Reply> AdminClient::ask(std::string_view method, std::string_view target,
                               std::string_view body) {
  auto fd = connect_to(path_);
  if (!fd) return fail(fd.error());
  std::string text =
      fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, target);
  text.reserve(text.size() + body.size() + 128);  // the body may hold keys: no copy is left behind
  if (!body.empty()) {
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  text += "\r\n";
  text += body;
  const OnExit wiped([&] { wipe(text.data(), text.size()); });
  Call call(std::move(*fd), Clock::now() + time_max_, path_);
  if (auto sent = call.send(text); !sent) return fail(sent.error());
  auto answer = call.receive();
  if (!answer) return fail(answer.error());
  auto reply = parse(*answer, method, path_);
  wipe(answer->data(), answer->size());
  return reply;
}

Result<std::string> AdminClient::must(std::string_view method, std::string_view target,
                                      std::string_view body) {
  auto reply = ask(method, target, body);
  if (!reply) return fail(reply.error());
  if (reply->status >= 200 && reply->status < 300) return std::move(reply->body);
  const auto problem = nlohmann::json::parse(reply->body, nullptr, false);
  const auto text_of = [&](const char* key) {
    if (!problem.is_object()) return std::string();
    const auto at = problem.find(key);
    return at != problem.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  std::string what = text_of("detail");
  if (what.empty()) what = fmt::format("the proxy answered {}", reply->status);
  const bool ours =
      reply->status == 400 || reply->status == 404 || reply->status == 409 || reply->status == 422;
  return fail(ours ? ErrorCode::bad_input : ErrorCode::refused, std::move(what), text_of("fix"));
}

}  // namespace nono::admin
