#include "proxy/worker.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>

#include "dns/ares_resolver.hpp"
#include "proxy/connection.hpp"
#include "proxy/refuse.hpp"

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

Problem too_fast() {
  Problem problem;
  problem.status = 429;
  problem.reason = Reason::limit;
  problem.error_token = "connection_limit_reached";
  problem.detail = "connections come faster than the proxy may take them";
  problem.fix = "try again shortly, or raise --max-connects-per-second";
  return problem;
}

}  // namespace

struct Worker::Listener {
  Listener(Executor executor, UniqueFd fd) : descriptor(executor, fd.release()), retry(executor) {}
  void close() {
    retry.cancel();
    ErrorCodeSys ignored;
    descriptor.close(ignored);
  }
  StreamDescriptor descriptor;
  SteadyTimer retry;
  bool trusted = false;
  SessionPtr session;  // whose own it is
  std::string asked;
};

Worker::Worker(Gateway& gateway)
    : gateway_(gateway),
      deadlines_(context_.get_executor()),
      table_(gateway.token_key),
      grace_timer_(context_.get_executor()) {}

Worker::~Worker() {
  destroying_ = true;
}

Result<void> Worker::prepare() {
  if (gateway_.ca) {
    leaves_ = std::make_unique<intercept::LeafCache>(gateway_.ca);
    auto server_tls = ServerTlsContext::make(*leaves_);
    if (!server_tls) return fail(server_tls.error());
    server_tls_ = std::move(*server_tls);
  }
  return {};
}

Result<dns::Resolver*> Worker::resolver(const Session& session) {
  const std::vector<HostPort>& servers = session.config().dns_servers;
  for (const auto& [known, resolver] : resolvers_) {
    if (known == servers) return resolver.get();
  }
  dns::ResolverOptions options;
  options.servers = servers;
  auto made = dns::make_resolver(executor(), options);
  if (!made) return fail(made.error());
  return resolvers_.emplace_back(servers, std::move(*made)).second.get();
}

Result<ClientTlsContext*> Worker::client_tls(const Session& session) {
  auto& context = client_tls_[session.config().upstream_ca_files];
  if (!context) {
    auto made = ClientTlsContext::make(session.config().upstream_ca_files);
    if (!made) return fail(made.error());
    context = std::move(*made);
  }
  return context.get();
}

void Worker::listen(UniqueFd socket, bool trusted) {
  auto listener = std::make_shared<Listener>(executor(), std::move(socket));
  listener->trusted = trusted;
  start(std::move(listener));
}

void Worker::listen(UniqueFd socket, const SessionPtr& session, std::string asked) {
  auto listener = std::make_shared<Listener>(executor(), std::move(socket));
  listener->session = session;
  listener->asked = std::move(asked);
  start(std::move(listener));
}

void Worker::start(std::shared_ptr<Listener> listener) {
  listeners_.push_back(listener);
  if (stopping_) return listener->close();
  if (!running_) return;
  net::co_spawn(executor(), accept_loop(std::move(listener)), [](const std::exception_ptr&) {});
}

void Worker::post(std::function<void(Worker&)> change) {
  net::post(context_, [this, change = std::move(change)] { change(*this); });
}

void Worker::dismiss(const Session& session, bool cut) {
  table_.remove(session);
  std::erase_if(listeners_, [&](const std::shared_ptr<Listener>& listener) {
    if (listener->session.get() != &session) return false;
    listener->close();
    return true;
  });
  if (!cut) return;
  for (Connection* connection : connections_) {
    if (connection->belongs_to(session)) connection->cut();
  }
}

void Worker::hand_over(const Session& old, const SessionPtr& successor,
                       const std::vector<std::string>& keep) {
  for (const std::shared_ptr<Listener>& listener : listeners_) {
    if (listener->session.get() != &old) continue;
    if (std::find(keep.begin(), keep.end(), listener->asked) != keep.end()) {
      listener->session = successor;
    }
  }
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
  running_ = true;
  for (const auto& listener : listeners_) {
    net::co_spawn(executor(), accept_loop(listener), [](const std::exception_ptr&) {});
  }
  const auto work = net::make_work_guard(context_);
  context_.run();
}

Awaitable<void> Worker::accept_loop(std::shared_ptr<Listener> listener) {
  StreamDescriptor& descriptor = listener->descriptor;
  while (descriptor.is_open()) {
    auto [code] = co_await descriptor.async_wait(StreamDescriptor::wait_read, as_result);
    if (code) co_return;
    for (int count = 0; count < accepts_at_once_max; ++count) {
      UniqueFd fd;
      const Accepted accepted = accept_one(descriptor.native_handle(), fd);
      if (accepted == Accepted::closed) co_return;
      if (accepted == Accepted::none_waiting) break;
      if (accepted == Accepted::none_now) {
        // Out of descriptors or memory: what is open goes on, and ends; new ones wait in the
        // backlog.
        listener->retry.expires_after(accept_pause);
        co_await listener->retry.async_wait(as_result);
        break;
      }
      TcpSocket socket(executor());
      ErrorCodeSys failed;
      socket.assign(net::ip::tcp::v4(), fd.get(), failed);
      if (failed) continue;
      [[maybe_unused]] const int owned_by_socket = fd.release();
      if (admit(socket))
        spawn(std::move(socket), listener->trusted ? settings_->main : listener->session);
    }
  }
}

bool Worker::admit(TcpSocket& socket) {
  if (gateway_.connections.load(std::memory_order_relaxed) >= settings_->limits.connections_max) {
    turn_away(socket, too_many());
    return false;
  }
  if (!settings_->connects->take(std::chrono::steady_clock::now())) {
    turn_away(socket, too_fast());
    return false;
  }
  return true;
}

void Worker::turn_away(TcpSocket& socket, const Problem& problem) {
  const std::string answer = render(problem, gateway_.server_name, false, false, true);
  [[maybe_unused]] const ssize_t sent =
      ::send(socket.native_handle(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  audit::Record record;
  record.time = std::chrono::system_clock::now();
  record.connection = gateway_.next_id.fetch_add(1, std::memory_order_relaxed);
  record.way = audit::Way::forward;
  record.because.reason = Reason::limit;
  record.status = problem.status;
  record.detail = problem.detail;
  gateway_.log->write(std::move(record));
  // Closing at once with a request unread would send RST and lose the answer; but a flood does not
  // get to hold descriptors.
  if (draining_ >= draining_max) return;
  ++draining_;
  ErrorCodeSys ignored;
  socket.shutdown(TcpSocket::shutdown_send, ignored);
  auto doomed = std::make_shared<TcpStream>(std::move(socket), deadlines_);
  auto drain = [](std::shared_ptr<TcpStream> stream) -> Awaitable<void> {
    co_await stream->close_gracefully();
  };
  net::co_spawn(executor(), drain(doomed),
                [this, doomed](const std::exception_ptr&) { --draining_; });
}

void Worker::spawn(TcpSocket socket, SessionPtr own) {
  auto connection = std::make_unique<Connection>(*this, std::move(socket), std::move(own));
  Connection& running = *connection;
  net::co_spawn(executor(), running.run(),
                [owned = std::move(connection)](const std::exception_ptr& escaped) {
                  if (!escaped) return;
                  try {
                    std::rethrow_exception(escaped);
                  } catch (const std::exception& error) {
                    fmt::print(stderr, "nono: a connection ended by an unexpected error: {}\n",
                               error.what());
                  }
                });
}

void Worker::enter(Connection& connection) {
  connection.place_ = connections_.size();
  connections_.push_back(&connection);
  gateway_.connections.fetch_add(1, std::memory_order_relaxed);
}

void Worker::leave(Connection& connection) {
  gateway_.connections.fetch_sub(1, std::memory_order_relaxed);
  if (destroying_) return;
  connections_.back()->place_ = connection.place_;
  connections_[connection.place_] = connections_.back();
  connections_.pop_back();
  finish_if_idle();
}

void Worker::stop(std::chrono::milliseconds grace) {
  net::post(context_, [this, grace] { begin_stop(grace); });
}

void Worker::begin_stop(std::chrono::milliseconds grace) {
  if (!stopping_) {
    stopping_ = true;
    for (const auto& listener : listeners_) listener->close();
    for (Connection* connection : connections_) connection->let_go();
  }
  grace_timer_.expires_after(grace);  // of a second call: instead of the first one's
  grace_timer_.async_wait([this](const ErrorCodeSys& code) {
    if (code) return;
    for (Connection* connection : connections_) connection->cut();
    // Whatever does not end now waits for nothing of ours: leave it.
    grace_timer_.expires_after(std::chrono::milliseconds(500));
    grace_timer_.async_wait([this](const ErrorCodeSys& cancelled) {
      if (!cancelled) context_.stop();
    });
  });
  finish_if_idle();
}

void Worker::finish_if_idle() {
  if (stopping_ && connections_.empty()) context_.stop();
}

}  // namespace nono
