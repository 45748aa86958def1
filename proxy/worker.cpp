#include "proxy/worker.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>

#include "dns/ares_resolver.hpp"
#include "proxy/connection.hpp"
#include "proxy/dns_front.hpp"
#include "proxy/refuse.hpp"

namespace nono {

namespace {

constexpr std::chrono::milliseconds accept_pause{100};  // when descriptors or memory ran out
constexpr int accepts_at_once_max = 64;
constexpr int draining_max = 32;  // connections that were turned away, until they have read why
constexpr int draining_tls_max = 8;  // likewise: each costs a handshake
// RFC 8446 6: all that a client of a listener with TLS is told where there are more of them.
constexpr std::string_view tls_internal_error("\x15\x03\x03\x00\x02\x02\x50", 7);
constexpr std::chrono::minutes says_pause_every{1};

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

// Not by fmt::print, which throws where stderr cannot be written.
void say_unexpected(const std::exception& error) {
  const std::string line =
      fmt::format("nono: a connection ended by an unexpected error: {}\n", error.what());
  [[maybe_unused]] const ssize_t told = ::write(STDERR_FILENO, line.data(), line.size());
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
  bool tls = false;
  Entrance entrance;
  std::function<bool(int)> admits;
  Prepared accepted = Prepared::no;
  SessionPtr session;  // whose own it is
  std::string asked;
};

Worker::Worker(Gateway& gateway)
    : gateway_(gateway),
      metrics_(*gateway.metrics.emplace_back(std::make_unique<metrics::Metrics>())),
      deadlines_(context_.get_executor()),
      table_(gateway.token_key),
      grace_timer_(context_.get_executor()) {}

Worker::~Worker() {
  destroying_ = true;
}

Result<void> Worker::prepare() {
  try {
    net::use_service<Poller>(context_);  // now: later there may be no descriptor left
  } catch (const boost::system::system_error& error) {
    return fail(ErrorCode::limit, error.what(), "raise the limit of open files (ulimit -n)");
  }
  if (gateway_.made_up_names) {
    auto pool = dns::SyntheticPool::make(*gateway_.made_up_names);
    if (!pool) return fail(pool.error());
    made_up_names_ = std::move(*pool);
  }
  if (gateway_.ca) {
    leaves_ = std::make_unique<intercept::LeafCache>(gateway_.ca);
    auto server_tls = ServerTlsContext::make(*leaves_);
    if (!server_tls) return fail(server_tls.error());
    server_tls_ = std::move(*server_tls);
  }
  return {};
}

void Worker::use(std::shared_ptr<const ProxySettings> settings) {
  settings_ = std::move(settings);
  if (dns_) dns_->policy_changed();
}

Result<void> Worker::serve_dns(DnsSockets sockets) {
  if (!dns_) dns_ = std::make_unique<DnsFront>(*this, gateway_.dns);
  return dns_->serve(std::move(sockets));
}

Result<dns::Resolver*> Worker::resolver(const Session& session) {
  const std::vector<HostPort>& servers = session.config().dns_servers;
  for (const auto& [known, resolver] : resolvers_) {
    if (known == servers) return resolver.get();
  }
  dns::ResolverOptions options;
  options.servers = servers;
  if (gateway_.dns.cache_entries_max) options.cache_entries_max = *gateway_.dns.cache_entries_max;
  options.on_resolved = [this](dns::AnsweredBy by, const Error* error) { resolved(by, error); };
  auto made = dns::make_resolver(executor(), options);
  if (!made) return fail(made.error());
  return resolvers_.emplace_back(servers, std::move(*made)).second.get();
}

Result<ClientTlsContext*> Worker::client_tls(const Session& session) {
  auto& context = client_tls_[session.upstream_roots()];
  if (!context) {
    auto made = ClientTlsContext::make(session.config().upstream_ca_files);
    if (!made) return fail(made.error());
    context = std::move(*made);
  }
  return context.get();
}

void Worker::resolved(dns::AnsweredBy by, const Error* error) {
  using metrics::DnsFailure;
  metrics_.dns_lookup(static_cast<metrics::DnsLookup>(by));
  const bool asked = by == dns::AnsweredBy::asked;
  if (error == nullptr) {
    if (asked) gateway_.dns_health.answered();
    return;
  }
  const bool silent = error->code == ErrorCode::dns_timeout;
  if (silent || error->code == ErrorCode::dns_failed) {
    metrics_.dns_failure(silent ? DnsFailure::timeout : DnsFailure::failed);
    if (asked) gateway_.dns_health.failed(std::chrono::steady_clock::now());
    return;
  }
  if (asked) gateway_.dns_health.answered();
  if (error->code == ErrorCode::name_not_found) metrics_.dns_failure(DnsFailure::not_found);
  if (error->code == ErrorCode::address_refused) metrics_.dns_failure(DnsFailure::denied);
}

std::chrono::milliseconds Worker::silence() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point now = Clock::now();
  const Clock::rep asked = asked_at_.load(std::memory_order_relaxed);
  if (asked != 0) {
    const Clock::time_point since{Clock::duration(asked)};
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - since);
  }
  asked_at_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  net::post(context_, [this] { asked_at_.store(0, std::memory_order_relaxed); });
  return {};
}

void Worker::listen(UniqueFd socket, bool trusted, bool tls, std::function<bool(int)> admits) {
  auto listener = std::make_shared<Listener>(executor(), std::move(socket));
  listener->trusted = trusted;
  listener->tls = tls;
  listener->admits = std::move(admits);
  start(std::move(listener));
}

void Worker::listen(UniqueFd socket, Entrance entrance) {
  auto listener = std::make_shared<Listener>(executor(), std::move(socket));
  listener->trusted = true;
  listener->entrance = std::move(entrance);
  start(std::move(listener));
}

void Worker::listen(UniqueFd socket, const SessionPtr& session, std::string asked) {
  auto listener = std::make_shared<Listener>(executor(), std::move(socket));
  listener->session = session;
  listener->asked = std::move(asked);
  start(std::move(listener));
}

void Worker::start(std::shared_ptr<Listener> listener) {
  if (send_at_once(listener->descriptor.native_handle())) listener->accepted = Prepared::yes;
  listeners_.push_back(listener);
  if (stopping_) return listener->close();
  if (!running_) return;
  net::co_spawn(executor(), accept_loop(std::move(listener)), [](const std::exception_ptr&) {});
}

void Worker::post(std::function<void(Worker&)> change) {
  net::post(context_, [this, change = std::move(change)] { change(*this); });
}

void Worker::dismiss(const Session& session, bool cut) {
  pool_.dismiss(session);
  table_.remove(session);
  if (dns_) dns_->dismissed(session);
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
        say_paused();
        metrics_.accept_paused(1);
        listener->retry.expires_after(accept_pause);
        co_await listener->retry.async_wait(as_result);
        metrics_.accept_paused(-1);
        break;
      }
      if (listener->admits && !listener->admits(fd.get())) continue;
      metrics_.connection_accepted();
      if (!admit(fd, *listener)) continue;
      SessionPtr own = listener->trusted ? settings_->main : listener->session;
      if (listener->tls) {
        spawn_behind_tls(std::move(fd), std::move(own));
      } else {
        spawn(std::move(fd), std::move(own), listener->entrance, listener->accepted);
      }
    }
  }
}

void Worker::say_paused() {
  const auto now = std::chrono::steady_clock::now();
  if (now < says_pause_from_) return;
  says_pause_from_ = now + says_pause_every;
  constexpr std::string_view line =
      "nono: no file descriptor (or no memory) is left for another client: new ones wait until "
      "some end; raise the limit of open files (ulimit -n)\n";
  [[maybe_unused]] const ssize_t told = ::write(STDERR_FILENO, line.data(), line.size());
}

bool Worker::admit(UniqueFd& socket, const Listener& listener) {
  // Handshakes that have not become connections yet hold memory and descriptors too.
  const std::size_t open = gateway_.connections.load(std::memory_order_relaxed);
  const std::size_t most = settings_->limits.connections_max;
  if (open >= most || (listener.tls && behind_tls_ >= most)) {
    turn_away(socket, listener, too_many(), metrics::TurnedAway::all_full);
    return false;
  }
  if (!settings_->connects->take(std::chrono::steady_clock::now())) {
    turn_away(socket, listener, too_fast(), metrics::TurnedAway::rate);
    return false;
  }
  return true;
}

void Worker::turn_away(UniqueFd& socket, const Listener& listener, const Problem& problem,
                       metrics::TurnedAway why) {
  audit::Way way = audit::Way::forward;
  if (listener.entrance.captured) way = audit::Way::captured;
  if (listener.entrance.inward) way = audit::Way::inbound;
  metrics_.connection_refused(why);
  metrics_.decided(way, problem.reason, false, 0);
  metrics_.responded(problem.status);
  std::string answer;
  if (!listener.entrance.any()) {
    answer = render(problem, gateway_.server_name, false, false, true);
  }
  const bool drains = listener.tls ? draining_tls_ < draining_tls_max : draining_ < draining_max;
  std::string_view at_once = answer;
  if (listener.tls) at_once = drains ? std::string_view() : tls_internal_error;
  if (!at_once.empty()) {
    [[maybe_unused]] const ssize_t sent =
        ::send(socket.get(), at_once.data(), at_once.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  audit::Record record;
  record.time = std::chrono::system_clock::now();
  record.connection = gateway_.next_id.fetch_add(1, std::memory_order_relaxed);
  record.way = way;
  record.because.reason = Reason::limit;
  record.status = problem.status;
  record.detail = problem.detail;
  gateway_.log->write(record);
  // Closing at once with a request unread would send RST and lose the answer; but a flood does not
  // get to hold descriptors.
  if (!drains) return;
  if (listener.tls) {
    ++draining_tls_;
    net::co_spawn(executor(),
                  TlsFront::turn_away(tls_front_, *this, std::move(socket), std::move(answer)),
                  [this](const std::exception_ptr&) { --draining_tls_; });
    return;
  }
  ++draining_;
  ::shutdown(socket.get(), SHUT_WR);
  auto doomed = std::make_shared<TcpStream>(std::move(socket), executor(), deadlines_);
  auto drain = [](std::shared_ptr<TcpStream> stream) -> Awaitable<void> {
    co_await stream->close_gracefully();
  };
  net::co_spawn(executor(), drain(doomed),
                [this, doomed](const std::exception_ptr&) { --draining_; });
}

void Worker::spawn(UniqueFd socket, SessionPtr own, Entrance entrance, Prepared prepared) {
  auto connection = std::make_unique<Connection>(*this, std::move(socket), std::move(own),
                                                 std::move(entrance), prepared);
  Connection& running = *connection;
  net::co_spawn(executor(), running.run(),
                [owned = std::move(connection)](const std::exception_ptr& escaped) {
                  if (!escaped) return;
                  try {
                    std::rethrow_exception(escaped);
                  } catch (const std::exception& error) {
                    say_unexpected(error);
                  }
                });
}

void Worker::spawn_behind_tls(UniqueFd socket, SessionPtr own) {
  ++behind_tls_;
  net::co_spawn(executor(), TlsFront::serve(tls_front_, *this, std::move(socket), std::move(own)),
                [this](const std::exception_ptr&) {
                  --behind_tls_;
                  if (!destroying_) finish_if_idle();
                });
}

void Worker::enter(Connection& connection) {
  connection.place_ = connections_.size();
  connections_.push_back(&connection);
  metrics_.connections_open(1);
  gateway_.connections.fetch_add(1, std::memory_order_relaxed);
}

void Worker::leave(Connection& connection) {
  metrics_.connections_open(-1);
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
    dns_.reset();
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
  if (stopping_ && connections_.empty() && behind_tls_ == 0) context_.stop();
}

}  // namespace nono
