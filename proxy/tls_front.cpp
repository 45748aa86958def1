#include "proxy/tls_front.hpp"

#include <poll.h>
#include <sys/socket.h>

#include "proxy/net/relay.hpp"
#include "proxy/net/tls_stream.hpp"
#include "proxy/worker.hpp"

namespace nono {

namespace {

// The connection inside ends idle clients; this is for one that is gone without its socket saying
// so.
constexpr std::chrono::minutes beyond_idle{1};
constexpr std::chrono::milliseconds look_inside{1000};

// Whatever name the client asks for, or none: it is shown the one certificate.
const Host& anyone() {
  static const Host host = IpAddress::v4({0, 0, 0, 0});
  return host;
}

Result<std::pair<UniqueFd, UniqueFd>> make_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return fail(errno_error(errno, "socketpair"));
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

// The client as the relay has it. Once the connection inside has ended and its last words are sent,
// nothing can come of the client any more: it is closed, or it would keep its place for the idle
// time by doing nothing. A connection that ended one direction only goes on.
class FrontClient final : public ByteStream, private Expiring {
 public:
  FrontClient(TlsStream& tls, TcpStream& inside, Deadlines& deadlines)
      : tls_(tls), inside_(inside), deadlines_(deadlines) {}

  Awaitable<Result<std::size_t>> read_some(std::span<char> buffer) override {
    return tls_.read_some(buffer);
  }
  Awaitable<Result<void>> write_all(std::span<const char> data) override {
    return tls_.write_all(data);
  }
  Awaitable<Result<void>> shutdown_send() override {
    deadlines_.arm(*this, look_inside);
    return tls_.shutdown_send();
  }
  Awaitable<void> close_gracefully() override { return tls_.close_gracefully(); }
  void close() noexcept override { tls_.close(); }
  bool is_open() const noexcept override { return tls_.is_open(); }
  void expires_after(std::chrono::milliseconds after) override { tls_.expires_after(after); }
  void never_expires() noexcept override { tls_.never_expires(); }

 private:
  void on_expired() noexcept override {
    revive();
    pollfd state{inside_.native_handle(), 0, 0};
    const bool gone = ::poll(&state, 1, 0) > 0 && (state.revents & POLLHUP) != 0;
    if (gone) return close();
    if (inside_.is_open()) deadlines_.arm(*this, look_inside);
  }

  TlsStream& tls_;
  TcpStream& inside_;
  Deadlines& deadlines_;
};

}  // namespace

Result<std::shared_ptr<TlsFront>> TlsFront::make(const ServerCertificate& certificate) {
  std::shared_ptr<TlsFront> front(new TlsFront(certificate));
  auto context = ServerTlsContext::make(front->source_, true);
  if (!context) return fail(context.error());
  front->context_ = std::move(*context);
  return front;
}

Awaitable<void> TlsFront::serve(std::shared_ptr<TlsFront> front, Worker& worker, UniqueFd socket,
                                SessionPtr own) {
  const Limits limits = worker.settings().limits;
  auto tcp = std::make_unique<TcpStream>(std::move(socket), worker.executor(), worker.deadlines());
  tcp->expires_after(limits.tls_time_max);
  const auto begun = std::chrono::steady_clock::now();
  auto tls = co_await TlsStream::accept(std::move(tcp), std::string(), *front->context_, anyone());
  if (!tls) co_return;  // whoever does not speak TLS here has asked for nothing
  worker.metrics().tls_took(metrics::Peer::client, std::chrono::steady_clock::now() - begun);
  if (worker.stopping()) co_return;  // as whoever waits in the backlog then
  auto pair = make_pair();
  if (!pair) co_return;
  TcpStream inside(std::move(pair->first), worker.executor(), worker.deadlines());
  worker.spawn(std::move(pair->second), std::move(own));
  const auto idle = limits.idle_time_max + beyond_idle;
  FrontClient client(**tls, inside, worker.deadlines());
  co_await relay_streams(client, inside, {}, {}, idle);
}

Awaitable<void> TlsFront::turn_away(std::shared_ptr<TlsFront> front, Worker& worker,
                                    UniqueFd socket, std::string answer) {
  auto tcp = std::make_unique<TcpStream>(std::move(socket), worker.executor(), worker.deadlines());
  tcp->expires_after(worker.settings().limits.drain_time_max);
  auto tls = co_await TlsStream::accept(std::move(tcp), std::string(), *front->context_, anyone());
  if (!tls) co_return;
  co_await (*tls)->write_all(answer);
  co_await (*tls)->close_gracefully();
}

}  // namespace nono
