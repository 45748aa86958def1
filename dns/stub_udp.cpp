#include "dns/stub_udp.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace nono::dns {
namespace {

constexpr std::size_t batch_size = 32;
constexpr int batches_max = 8;                // before others on this thread have their turn
constexpr std::size_t query_size_max = 2048;  // no query comes near
constexpr int receive_buffer_bytes = 1 << 20;
constexpr std::chrono::milliseconds error_pause{100};

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// Where a datagram was sent to, as ancillary data; answers carry it as where they come from.
using Control = std::array<std::uint8_t, CMSG_SPACE(sizeof(in6_pktinfo))>;

IpAddress address_of(const SocketAddress& from) {
  if (from.any.sa_family == AF_INET) {
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &from.v4.sin_addr, bytes.size());
    return IpAddress::v4(bytes);
  }
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &from.v6.sin6_addr, bytes.size());
  return IpAddress::v6(bytes).unmapped();
}

// Turns the destination of a query into the source of its answer, in place. The interface is left
// to routing, except where the address means nothing without it.
void turn_round(msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      info.ipi_spec_dst = info.ipi_addr;
      info.ipi_addr = {};
      info.ipi_ifindex = 0;
      std::memcpy(CMSG_DATA(control), &info, sizeof info);
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      std::memcpy(CMSG_DATA(control), &info, sizeof info);
    }
  }
}

// False where the socket is bound to one address, which answers leave from anyway.
Result<bool> ask_for_destinations(int fd) {
  SocketAddress bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(fd, &bound.any, &size) != 0) return fail(errno_error(errno, "getsockname"));
  const int on = 1;
  if (bound.any.sa_family == AF_INET) {
    if (bound.v4.sin_addr.s_addr != htonl(INADDR_ANY)) return false;
    if (::setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0) {
      return fail(errno_error(errno, "IP_PKTINFO"));
    }
    return true;
  }
  if (!IN6_IS_ADDR_UNSPECIFIED(&bound.v6.sin6_addr)) return false;
  if (::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0) {
    return fail(errno_error(errno, "IPV6_RECVPKTINFO"));
  }
  return true;
}

}  // namespace

// All that one round of system calls needs, made once.
struct StubUdp::Batch {
  std::array<std::array<std::uint8_t, query_size_max>, batch_size> queries;
  std::array<std::array<std::uint8_t, AnswerWriter::udp_size_max>, batch_size> answers;
  std::array<SocketAddress, batch_size> peers;
  std::array<Control, batch_size> controls;
  std::array<iovec, batch_size> in_parts, out_parts;
  std::array<mmsghdr, batch_size> in, out;

  void prepare(bool with_control) {
    for (std::size_t i = 0; i < batch_size; ++i) {
      in_parts[i] = {queries[i].data(), queries[i].size()};
      in[i].msg_hdr = {};
      in[i].msg_hdr.msg_name = &peers[i];
      in[i].msg_hdr.msg_namelen = sizeof peers[i];
      in[i].msg_hdr.msg_iov = &in_parts[i];
      in[i].msg_hdr.msg_iovlen = 1;
      if (!with_control) continue;
      in[i].msg_hdr.msg_control = controls[i].data();
      in[i].msg_hdr.msg_controllen = controls[i].size();
    }
  }
};

// One query, as its answer needs it.
class StubUdp::Datagram final : public Caller {
 public:
  Datagram(StubUdp& udp, std::size_t index) : udp_(udp), index_(index) {}
  IpAddress address() const override { return address_of(udp_.batch_->peers[index_]); }
  bool stream() const override { return false; }
  Reply later() const override {
    const msghdr& header = udp_.batch_->in[index_].msg_hdr;
    return [weak = udp_.weak_from_this(), peer = udp_.batch_->peers[index_],
            peer_size = header.msg_namelen, control = udp_.batch_->controls[index_],
            control_size = header.msg_controllen](Bytes answer) mutable {
      const std::shared_ptr<StubUdp> self = weak.lock();
      if (!self || !self->socket_.is_open()) return;
      iovec part{const_cast<std::uint8_t*>(answer.data()), answer.size()};
      msghdr message{};
      message.msg_name = &peer;
      message.msg_namelen = peer_size;
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control_size == 0 ? nullptr : control.data();
      message.msg_controllen = control_size;
      // What does not fit into the socket's buffer is lost, as datagrams may be.
      [[maybe_unused]] ssize_t sent =
          ::sendmsg(self->socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    };
  }

 private:
  StubUdp& udp_;
  std::size_t index_;
};

StubUdp::StubUdp(Executor executor, std::shared_ptr<StubCore> core)
    : socket_(executor), pause_(executor), core_(std::move(core)), batch_(new Batch) {}

StubUdp::~StubUdp() = default;

Result<std::shared_ptr<StubUdp>> StubUdp::make(Executor executor, std::shared_ptr<StubCore> core,
                                               UniqueFd socket) {
  const Result<bool> any_address = ask_for_destinations(socket.get());
  if (!any_address) return fail(any_address.error());
  // A burst may come while this thread is busy; as much as the system lets us have.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
               sizeof receive_buffer_bytes);
  std::shared_ptr<StubUdp> self(new StubUdp(executor, std::move(core)));
  self->any_address_ = *any_address;
  ErrorCodeSys error;
  self->socket_.assign(socket.get(), error);
  if (error) return fail(ErrorCode::io, "watching a UDP socket: " + error.message());
  [[maybe_unused]] int owned = socket.release();
  return self;
}

void StubUdp::start() {
  wait();
}

void StubUdp::close() {
  ErrorCodeSys ignored;
  socket_.close(ignored);
  pause_.cancel();
}

void StubUdp::wait() {
  socket_.async_wait(StreamDescriptor::wait_read, [weak = weak_from_this()](ErrorCodeSys error) {
    const std::shared_ptr<StubUdp> self = weak.lock();
    if (self && !error) self->serve();
  });
}

void StubUdp::wait_after_error() {
  pause_.expires_after(error_pause);
  pause_.async_wait([weak = weak_from_this()](ErrorCodeSys error) {
    const std::shared_ptr<StubUdp> self = weak.lock();
    if (self && !error && self->socket_.is_open()) self->wait();
  });
}

void StubUdp::serve() {
  Round round = Round::more;
  for (int i = 0; i < batches_max && round == Round::more; ++i) round = serve_batch();
  // Waiting arms the descriptor anew, so that what is still there is seen.
  if (round == Round::failed) {
    wait_after_error();
  } else {
    wait();
  }
}

StubUdp::Round StubUdp::serve_batch() {
  Batch& batch = *batch_;
  const int fd = socket_.native_handle();
  batch.prepare(any_address_);
  const int got = ::recvmmsg(fd, batch.in.data(), batch_size, MSG_DONTWAIT, nullptr);
  if (got <= 0) {
    if (errno == EINTR) return Round::more;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Round::drained : Round::failed;
  }
  const auto now = std::chrono::steady_clock::now();
  unsigned answers = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
    msghdr& header = batch.in[i].msg_hdr;
    if ((header.msg_flags & MSG_TRUNC) != 0) continue;
    turn_round(header);
    const Datagram datagram(*this, i);
    const std::size_t size = core_->handle(Bytes(batch.queries[i].data(), batch.in[i].msg_len),
                                           datagram, batch.answers[i], now);
    if (size == 0) continue;
    batch.out_parts[answers] = {batch.answers[i].data(), size};
    batch.out[answers].msg_hdr = header;
    batch.out[answers].msg_hdr.msg_iov = &batch.out_parts[answers];
    batch.out[answers].msg_hdr.msg_flags = 0;
    ++answers;
  }
  for (unsigned sent = 0; sent < answers;) {
    const int count = ::sendmmsg(fd, batch.out.data() + sent, answers - sent, MSG_DONTWAIT);
    // One that cannot be sent is passed over, the others are not its hostages.
    sent += count > 0 ? static_cast<unsigned>(count) : 1U;
  }
  return static_cast<std::size_t>(got) == batch_size ? Round::more : Round::drained;
}

}  // namespace nono::dns
