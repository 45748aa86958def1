#include "dns/stub_tcp.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

namespace nono::dns {
namespace {

constexpr std::size_t length_size = 2;
constexpr std::size_t query_size_min = 12, query_size_max = 4096;
constexpr std::size_t backlog_bytes_max = 64 * 1024;  // of answers that the client does not read
constexpr std::chrono::milliseconds accept_pause{200};

IpAddress address_of(const net::ip::address& address) {
  if (address.is_v4()) return IpAddress::v4(address.to_v4().to_bytes());
  return IpAddress::v6(address.to_v6().to_bytes()).unmapped();
}

}  // namespace

class StubTcp::Connection final : public Caller, public std::enable_shared_from_this<Connection> {
 public:
  Connection(TcpSocket socket, std::shared_ptr<StubCore> core, std::weak_ptr<StubTcp> owner)
      : socket_(std::move(socket)), core_(std::move(core)), owner_(std::move(owner)) {
    ErrorCodeSys error;
    const auto peer = socket_.remote_endpoint(error);
    if (!error) client_ = address_of(peer.address());
    // Answers that come late are small, and must not wait for the ACK of those before.
    socket_.set_option(net::ip::tcp::no_delay(true), error);
  }

  IpAddress address() const override { return client_; }
  bool stream() const override { return true; }
  Reply later() const override {
    ++waiting_;
    return [weak = weak_from_this()](Bytes answer) {
      const auto self = std::const_pointer_cast<Connection>(weak.lock());
      if (!self) return;
      --self->waiting_;
      self->queue(answer);
      self->flush();
      self->serve();  // there may be queries that had to wait for room
    };
  }

  void read();
  // After that nothing of the server is used any more; handlers may still come.
  void close() {
    ended_ = true;
    ErrorCodeSys ignored;
    socket_.close(ignored);
  }
  // Since when nothing whole came in, and nothing went out.
  std::chrono::steady_clock::time_point idle_since() const { return active_; }
  bool waiting() const { return waiting_ != 0; }

 private:
  void serve();
  void queue(Bytes answer);
  void flush();
  void end();
  bool full() const {
    return waiting_ >= core_->options().tcp_waiting_max || out_.size() > backlog_bytes_max;
  }

  TcpSocket socket_;
  std::shared_ptr<StubCore> core_;
  std::weak_ptr<StubTcp> owner_;
  IpAddress client_;
  std::vector<std::uint8_t> in_ = std::vector<std::uint8_t>(512);
  std::size_t filled_ = 0;
  std::vector<std::uint8_t> out_, sending_;
  bool reading_ = false, ended_ = false;
  mutable std::size_t waiting_ = 0;  // queries whose answers are not there yet
  std::chrono::steady_clock::time_point active_ = std::chrono::steady_clock::now();
};

void StubTcp::Connection::read() {
  if (reading_ || ended_ || full()) return;
  reading_ = true;
  const auto buffer = net::buffer(in_.data() + filled_, in_.size() - filled_);
  socket_.async_read_some(buffer, [self = shared_from_this()](ErrorCodeSys error, std::size_t got) {
    self->reading_ = false;
    if (error) return self->end();
    self->filled_ += got;
    self->serve();
  });
}

// Answers what is whole, and reads on.
void StubTcp::Connection::serve() {
  if (ended_ || reading_) return;
  std::array<std::uint8_t, AnswerWriter::size_max> out;
  std::size_t at = 0;
  const auto now = std::chrono::steady_clock::now();
  while (!full() && filled_ - at >= length_size) {
    const std::size_t size = std::size_t{in_[at]} << 8 | in_[at + 1];
    if (size < query_size_min || size > query_size_max) return end();
    if (filled_ - at < length_size + size) {
      in_.resize(std::max(in_.size(), length_size + size));
      break;
    }
    const std::size_t waited = waiting_;
    const std::size_t answered =
        core_->handle(Bytes(in_.data() + at + length_size, size), *this, out, now);
    at += length_size + size;
    if (answered != 0 || waiting_ != waited) active_ = now;  // what is dropped is no activity
    if (answered != 0) queue(Bytes(out.data(), answered));
  }
  std::copy(in_.begin() + static_cast<std::ptrdiff_t>(at),
            in_.begin() + static_cast<std::ptrdiff_t>(filled_), in_.begin());
  filled_ -= at;
  flush();
  read();
}

void StubTcp::Connection::queue(Bytes answer) {
  out_.push_back(static_cast<std::uint8_t>(answer.size() >> 8));
  out_.push_back(static_cast<std::uint8_t>(answer.size() & 0xff));
  out_.insert(out_.end(), answer.begin(), answer.end());
}

void StubTcp::Connection::flush() {
  if (ended_ || out_.empty() || !sending_.empty()) return;
  sending_.swap(out_);
  const auto on_sent = [self = shared_from_this()](ErrorCodeSys error, std::size_t) {
    self->sending_.clear();
    if (error) return self->end();
    self->active_ = std::chrono::steady_clock::now();
    self->flush();
    self->serve();
  };
  net::async_write(socket_, net::buffer(sending_), on_sent);
}

void StubTcp::Connection::end() {
  if (ended_) return;
  close();
  if (const std::shared_ptr<StubTcp> owner = owner_.lock()) owner->drop(*this);
}

StubTcp::StubTcp(Executor executor, std::shared_ptr<StubCore> core)
    : executor_(executor),
      acceptor_(executor),
      pause_(executor),
      idle_timer_(executor),
      core_(std::move(core)) {}

StubTcp::~StubTcp() {
  close();
}

Result<std::shared_ptr<StubTcp>> StubTcp::make(Executor executor, std::shared_ptr<StubCore> core,
                                               UniqueFd listener,
                                               std::function<bool(int)> admits) {
  int family = 0;
  socklen_t size = sizeof family;
  if (::getsockopt(listener.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
    return fail(errno_error(errno, "SO_DOMAIN"));
  }
  std::shared_ptr<StubTcp> self(new StubTcp(executor, std::move(core)));
  self->admits_ = std::move(admits);
  const auto protocol = family == AF_INET ? net::ip::tcp::v4() : net::ip::tcp::v6();
  ErrorCodeSys error;
  self->acceptor_.assign(protocol, listener.get(), error);
  if (error) return fail(ErrorCode::io, "watching a TCP listener: " + error.message());
  [[maybe_unused]] int owned = listener.release();
  return self;
}

void StubTcp::start() {
  accept();
}

void StubTcp::close() {
  ErrorCodeSys ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  idle_timer_.cancel();
  for (const std::shared_ptr<Connection>& connection : connections_) connection->close();
  connections_.clear();
}

void StubTcp::accept() {
  acceptor_.async_accept(executor_,
                         [weak = weak_from_this()](ErrorCodeSys error, TcpSocket socket) {
                           const std::shared_ptr<StubTcp> self = weak.lock();
                           if (!self || !self->acceptor_.is_open()) return;
                           if (!error) {
                             self->take(std::move(socket));
                             return self->accept();
                           }
                           // Out of descriptors or memory: the backlog waits until some are free
                           // again.
                           self->pause_.expires_after(accept_pause);
                           self->pause_.async_wait([weak](ErrorCodeSys cancelled) {
                             const std::shared_ptr<StubTcp> again = weak.lock();
                             if (again && !cancelled && again->acceptor_.is_open()) again->accept();
                           });
                         });
}

void StubTcp::take(TcpSocket socket) {
  if (admits_ && !admits_(socket.native_handle())) return;
  make_room();
  core_->counters().tcp_connections.add();
  auto connection = std::make_shared<Connection>(std::move(socket), core_, weak_from_this());
  connections_.push_back(connection);
  connection->read();
  watch_idle();
}

// Whoever has been idle longest makes room; a connection that waits for an answer is not idle.
void StubTcp::make_room() {
  if (connections_.size() < std::max<std::size_t>(core_->options().tcp_connections_max, 1)) return;
  const auto idler = [](const auto& a, const auto& b) {
    if (a->waiting() != b->waiting()) return !a->waiting();
    return a->idle_since() < b->idle_since();
  };
  const auto idlest = std::min_element(connections_.begin(), connections_.end(), idler);
  const std::shared_ptr<Connection> out = *idlest;
  out->close();
  drop(*out);
}

// One timer for all; each is closed between one idle_max and a quarter more.
void StubTcp::watch_idle() {
  if (watching_idle_ || connections_.empty()) return;
  watching_idle_ = true;
  idle_timer_.expires_after(core_->options().tcp_idle_max / 4);
  idle_timer_.async_wait([weak = weak_from_this()](ErrorCodeSys error) {
    const std::shared_ptr<StubTcp> self = weak.lock();
    if (!self || error) return;
    self->watching_idle_ = false;
    const auto idle_before = std::chrono::steady_clock::now() - self->core_->options().tcp_idle_max;
    for (auto at = self->connections_.begin(); at != self->connections_.end();) {
      const std::shared_ptr<Connection> connection = *at++;
      if (connection->waiting() || connection->idle_since() > idle_before) continue;
      connection->close();
      self->drop(*connection);
    }
    self->watch_idle();
  });
}

void StubTcp::drop(const Connection& connection) {
  const auto same = [&](const auto& other) { return other.get() == &connection; };
  const auto found = std::find_if(connections_.begin(), connections_.end(), same);
  if (found == connections_.end()) return;
  connections_.erase(found);
  core_->counters().tcp_closed.add();
}

}  // namespace nono::dns
