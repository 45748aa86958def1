#include "proxy/worker.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>

#include "dns/ares_resolver.hpp"
#include "proxy/refuse.hpp"
#include "proxy/session.hpp"

namespace nono {

namespace {

constexpr std::chrono::milliseconds accept_pause{100};  // when descriptors or memory ran out
constexpr int accepts_at_once_max = 64;
constexpr int draining_max = 32;  // connections that were turned away, until they have read why

enum class Accepted : std::uint8_t { one, none_waiting, none_now, closed };

Accepted accept_one(int listener, UniqueFd& out) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    out = UniqueFd(fd);
    return Accepted::one;
  }
  switch (errno) {
    case EAGAIN:
      return Accepted::none_waiting;
    case EBADF:
    case EINVAL:
      return Accepted::closed;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return Accepted::none_now;
    default:
      return Accepted::none_waiting;  // the connection went away meanwhile (accept(2), ERRORS)
  }
}

Problem too_many() {
  Problem problem;
  problem.status = 503;
  problem.reason = Reason::limit;
  problem.error_token = "connection_limit_reached";
  problem.detail = "the proxy has as many connections as it may";
  problem.fix = "try again shortly, or raise --max-connections";
  return problem;
}

}  // namespace

struct Worker::Listener {
  Listener(Executor executor, UniqueFd fd, bool is_trusted)
      : descriptor(executor, fd.release()), retry(executor), trusted(is_trusted) {}
  StreamDescriptor descriptor;
  SteadyTimer retry;
  bool trusted;
};

Worker::Worker(Gateway& gateway)
    : gateway_(gateway),
      deadlines_(context_.get_executor()),
      grace_timer_(context_.get_executor()) {}

Worker::~Worker() {
  destroying_ = true;
}

Result<void> Worker::prepare() {
  dns::ResolverOptions options;
  options.servers = gateway_.session.dns_servers;
  auto resolver = dns::make_resolver(executor(), options);
  if (!resolver) return fail(resolver.error());
  resolver_ = std::move(*resolver);
  // The user's own files are checked at the start; without any, nothing can be wrong with them.
  if (!gateway_.session.upstream_ca_files.empty()) {
    if (auto made = client_tls(); !made) return fail(made.error());
  }
  if (gateway_.ca) {
    leaves_ = std::make_unique<intercept::LeafCache>(gateway_.ca);
    auto server_tls = ServerTlsContext::make(*leaves_);
    if (!server_tls) return fail(server_tls.error());
    server_tls_ = std::move(*server_tls);
  }
  return {};
}

Result<ClientTlsContext*> Worker::client_tls() {
  if (!client_tls_) {
    auto made = ClientTlsContext::make(gateway_.session.upstream_ca_files);
    if (!made) return fail(made.error());
    client_tls_ = std::move(*made);
  }
  return client_tls_.get();
}

void Worker::listen(UniqueFd socket, bool trusted) {
  listeners_.push_back(std::make_unique<Listener>(executor(), std::move(socket), trusted));
}

void Worker::on_readable(int fd, std::function<void()> handler) {
  UniqueFd own(::dup(fd));
  watched_.push_back(std::make_unique<StreamDescriptor>(executor(), own.release()));
  await_readable(*watched_.back(), std::move(handler));
}

// Waits again after each call, while the worker stops too: a second signal asks for haste.
void Worker::await_readable(StreamDescriptor& descriptor, std::function<void()> handler) {
  descriptor.async_wait(
      StreamDescriptor::wait_read,
      [this, &descriptor, handler = std::move(handler)](const ErrorCodeSys& code) {
        if (code) return;
        handler();
        await_readable(descriptor, handler);
      });
}

void Worker::run() {
  for (const auto& listener : listeners_) {
    net::co_spawn(executor(), accept_loop(*listener), [](const std::exception_ptr&) {});
  }
  const auto work = net::make_work_guard(context_);
  context_.run();
}

Awaitable<void> Worker::accept_loop(Listener& listener) {
  while (listener.descriptor.is_open()) {
    auto [code] = co_await listener.descriptor.async_wait(StreamDescriptor::wait_read, as_result);
    if (code) co_return;
    for (int count = 0; count < accepts_at_once_max; ++count) {
      UniqueFd fd;
      const Accepted accepted = accept_one(listener.descriptor.native_handle(), fd);
      if (accepted == Accepted::closed) co_return;
      if (accepted == Accepted::none_waiting) break;
      if (accepted == Accepted::none_now) {
        // Out of descriptors or memory: what is open goes on, and ends; new ones wait in the
        // backlog.
        listener.retry.expires_after(accept_pause);
        co_await listener.retry.async_wait(as_result);
        break;
      }
      TcpSocket socket(executor());
      ErrorCodeSys failed;
      socket.assign(net::ip::tcp::v4(), fd.get(), failed);
      if (failed) continue;
      [[maybe_unused]] const int owned_by_socket = fd.release();
      if (admit(socket)) spawn(std::move(socket), listener.trusted);
    }
  }
}

bool Worker::admit(TcpSocket& socket) {
  if (gateway_.connections.load(std::memory_order_relaxed) < gateway_.limits.connections_max)
    return true;
  const std::string answer = render(too_many(), gateway_.server_name, false, false, true);
  [[maybe_unused]] const ssize_t sent =
      ::send(socket.native_handle(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  audit::Record record;
  record.time = std::chrono::system_clock::now();
  record.session = gateway_.session.name;
  record.connection = gateway_.next_id.fetch_add(1, std::memory_order_relaxed);
  record.way = audit::Way::forward;
  record.because.reason = Reason::limit;
  record.status = 503;
  record.detail = "too many connections";
  gateway_.log->write(std::move(record));
  // Closing at once with a request unread would send RST and lose the answer; but a flood does not
  // get to hold descriptors.
  if (draining_ >= draining_max) return false;
  ++draining_;
  ErrorCodeSys ignored;
  socket.shutdown(TcpSocket::shutdown_send, ignored);
  auto doomed = std::make_shared<TcpStream>(std::move(socket), deadlines_);
  auto drain = [](std::shared_ptr<TcpStream> stream) -> Awaitable<void> {
    co_await stream->close_gracefully();
  };
  net::co_spawn(executor(), drain(doomed),
                [this, doomed](const std::exception_ptr&) { --draining_; });
  return false;
}

void Worker::spawn(TcpSocket socket, bool trusted) {
  auto session = std::make_unique<Session>(*this, std::move(socket), trusted);
  Session& running = *session;
  net::co_spawn(
      executor(), running.run(), [owned = std::move(session)](const std::exception_ptr& escaped) {
        if (!escaped) return;
        try {
          std::rethrow_exception(escaped);
        } catch (const std::exception& error) {
          fmt::print(stderr, "nono: a connection ended by an unexpected error: {}\n", error.what());
        }
      });
}

void Worker::enter(Session& session) {
  session.place_ = sessions_.size();
  sessions_.push_back(&session);
  gateway_.connections.fetch_add(1, std::memory_order_relaxed);
}

void Worker::leave(Session& session) {
  gateway_.connections.fetch_sub(1, std::memory_order_relaxed);
  if (destroying_) return;
  sessions_.back()->place_ = session.place_;
  sessions_[session.place_] = sessions_.back();
  sessions_.pop_back();
  finish_if_idle();
}

void Worker::stop(std::chrono::milliseconds grace) {
  net::post(context_, [this, grace] { begin_stop(grace); });
}

void Worker::begin_stop(std::chrono::milliseconds grace) {
  if (!stopping_) {
    stopping_ = true;
    for (const auto& listener : listeners_) {
      listener->retry.cancel();
      listener->descriptor.close();
    }
    for (Session* session : sessions_) session->let_go();
  }
  grace_timer_.expires_after(grace);  // of a second call: instead of the first one's
  grace_timer_.async_wait([this](const ErrorCodeSys& code) {
    if (code) return;
    for (Session* session : sessions_) session->cut();
    // Whatever does not end now waits for nothing of ours: leave it.
    grace_timer_.expires_after(std::chrono::milliseconds(500));
    grace_timer_.async_wait([this](const ErrorCodeSys& cancelled) {
      if (!cancelled) context_.stop();
    });
  });
  finish_if_idle();
}

void Worker::finish_if_idle() {
  if (stopping_ && sessions_.empty()) context_.stop();
}

}  // namespace nono
