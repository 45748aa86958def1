#include "dns/ares_channel.hpp"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cstring>

namespace nono::dns {
namespace {

// Fits every path's MTU, so that answers are not fragmented (DNS flag day 2020).
constexpr int edns_bytes = 1232;
constexpr int addresses_max = 64;  // per family; more than anyone dials

tl::unexpected<Error> ares_error(int status, std::string_view what) {
  return fail(ErrorCode::dns_failed, fmt::format("{}: {}", what, ares_strerror(status)));
}

// c-ares counts its users without a lock, so it is started once for the program and never stopped.
int start_library() {
  static const int status = ares_library_init(ARES_LIB_INIT_ALL);
  return status;
}

template <std::size_t Size>
std::array<std::uint8_t, Size> bytes_of(const void* address) {
  std::array<std::uint8_t, Size> bytes{};
  std::memcpy(bytes.data(), address, Size);
  return bytes;
}

// Collects the addresses of a parsed reply; `status` and `count` are what the parser gave.
template <class Record, class Address>
Outcome collect(int status, const std::array<Record, addresses_max>& records, int count,
                Address address_of) {
  Outcome outcome;
  if (status != ARES_SUCCESS && status != ARES_ENODATA) {
    outcome.detail = ares_strerror(status);
    return outcome;
  }
  if (status == ARES_ENODATA || count <= 0) {
    outcome.verdict = Verdict::no_address;
    return outcome;
  }
  outcome.verdict = Verdict::found;
  outcome.ttl = std::chrono::seconds::max();
  for (int i = 0; i < count; ++i) {
    const Record& record = records[static_cast<std::size_t>(i)];
    outcome.addresses.push_back(address_of(record));
    outcome.ttl = std::min(outcome.ttl, std::chrono::seconds(std::max(record.ttl, 0)));
  }
  return outcome;
}

Outcome parse_reply(Family family, const unsigned char* message, int size) {
  int count = addresses_max;
  if (family == Family::v4) {
    std::array<ares_addrttl, addresses_max> records{};
    int status = ares_parse_a_reply(message, size, nullptr, records.data(), &count);
    return collect(status, records, count, [](const ares_addrttl& record) {
      return IpAddress::v4(bytes_of<4>(&record.ipaddr));
    });
  }
  std::array<ares_addr6ttl, addresses_max> records{};
  int status = ares_parse_aaaa_reply(message, size, nullptr, records.data(), &count);
  return collect(status, records, count, [](const ares_addr6ttl& record) {
    return IpAddress::v6(bytes_of<16>(&record.ip6addr));
  });
}

Outcome judge(Family family, int status, const unsigned char* message, int size) {
  switch (status) {
    case ARES_SUCCESS:
      return parse_reply(family, message, size);
    case ARES_ENOTFOUND:
      return Outcome{Verdict::no_such_name, {}, {}, {}};
    case ARES_ENODATA:
      return Outcome{Verdict::no_address, {}, {}, {}};
    case ARES_ETIMEOUT:
      return Outcome{Verdict::timed_out, {}, {}, "no answer"};
    case ARES_ECONNREFUSED:
    case ARES_ECANCELLED:  // by give_up_soon
      return Outcome{Verdict::failed, {}, {}, "cannot be reached"};
    default:
      return Outcome{Verdict::failed, {}, {}, ares_strerror(status)};
  }
}

}  // namespace

// A descriptor of c-ares under Asio's watch. Owned by the map alone, so that a handler that can
// lock its weak_ptr knows the channel to be alive and the descriptor to be still this one:
// descriptor numbers are reused as soon as c-ares closes them.
struct AresChannel::Socket {
  explicit Socket(Executor executor) : descriptor(executor) {}
  StreamDescriptor descriptor;
  int fd = -1;
  bool open = true;
  bool want_read = false, want_write = false;
  bool reading = false, writing = false;
};

struct AresChannel::Query {
  std::weak_ptr<AresChannel> channel;
  HostName name;
  Family family;
  Callback callback;
  bool repeated = false;
};

AresChannel::AresChannel(Executor executor) : executor_(executor), timer_(executor) {}

AresChannel::~AresChannel() {
  if (channel_ != nullptr) ares_destroy(channel_);  // ends queries and closes through on_socket
}

Result<std::shared_ptr<AresChannel>> AresChannel::make(Executor executor, const HostPort& server,
                                                       std::chrono::milliseconds timeout) {
  if (int status = start_library(); status != ARES_SUCCESS) return ares_error(status, "c-ares");
  std::shared_ptr<AresChannel> self(new AresChannel(executor));

  // Everything that c-ares would otherwise take from resolv.conf and the environment is set here.
  std::string lookups = "b";
  in_addr placeholder{htonl(INADDR_LOOPBACK)};
  ares_options options{};
  options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP;
  options.timeout =
      static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(timeout.count(), 1, 60'000));
  options.tries = 1;  // trying again, and elsewhere, is Servers' business
  options.ndots = 1;
  options.lookups = lookups.data();
  options.ednspsz = edns_bytes;
  options.servers = &placeholder;
  options.nservers = 1;
  options.sock_state_cb = &AresChannel::on_socket;
  options.sock_state_cb_data = self.get();
  int given = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
              ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
              ARES_OPT_SORTLIST | ARES_OPT_NOROTATE | ARES_OPT_SOCK_STATE_CB;
  if (int status = ares_init_options(&self->channel_, &options, given); status != ARES_SUCCESS) {
    self->channel_ = nullptr;
    return ares_error(status, "c-ares");
  }
  std::string address = server.to_string();
  if (int status = ares_set_servers_ports_csv(self->channel_, address.c_str());
      status != ARES_SUCCESS) {
    return ares_error(status, "DNS server " + address);
  }
  return self;
}

void AresChannel::query(const HostName& name, Family family, Callback callback) {
  send(std::make_unique<Query>(Query{weak_from_this(), name, family, std::move(callback)}));
}

void AresChannel::send(std::unique_ptr<Query> query) {
  int type = query->family == Family::v4 ? ns_t_a : ns_t_aaaa;
  if (pending_++ == 0) asked_ = 0;
  ++asked_;
  Query* borrowed = query.release();  // comes back, once, in on_answer; perhaps before this returns
  std::string name = borrowed->name.text();
  ares_query(channel_, name.c_str(), ns_c_in, type, &AresChannel::on_answer, borrowed);
  arm_timer();
}

void AresChannel::on_answer(void* query, int status, int /*timeouts*/, unsigned char* message,
                            int size) {
  std::unique_ptr<Query> owned(static_cast<Query*>(query));
  std::shared_ptr<AresChannel> self = owned->channel.lock();
  if (self) --self->pending_;
  if (self && status == ARES_EFORMERR && !owned->repeated) {
    // c-ares repeats only the first query that a server without EDNS rejects, then does without
    // EDNS; what was under way at that moment is repeated here.
    owned->repeated = true;
    return self->send(std::move(owned));
  }
  if (self && status == ARES_ECONNREFUSED) self->give_up_soon();
  owned->callback(judge(owned->family, status, message, size));
}

// The kernel reports a closed port to one query only; for the others it would be a timeout.
void AresChannel::give_up_soon() {
  if (giving_up_) return;
  giving_up_ = true;
  net::post(executor_, [weak = weak_from_this()] {
    std::shared_ptr<AresChannel> self = weak.lock();
    if (!self) return;
    self->giving_up_ = false;
    ares_cancel(self->channel_);
  });
}

void AresChannel::on_socket(void* self, int fd, int readable, int writable) {
  static_cast<AresChannel*>(self)->watch(fd, readable != 0, writable != 0);
}

void AresChannel::watch(int fd, bool readable, bool writable) {
  auto found = sockets_.find(fd);
  if (!readable && !writable) {  // about to be closed
    if (found == sockets_.end()) return;
    found->second->open = false;
    found->second->descriptor.release();  // out of epoll; c-ares closes it
    sockets_.erase(found);
    return;
  }
  if (found == sockets_.end()) {
    auto socket = std::make_shared<Socket>(executor_);
    ErrorCodeSys error;
    socket->descriptor.assign(fd, error);
    if (error) return;  // out of memory or watches: the query times out
    socket->fd = fd;
    found = sockets_.emplace(fd, std::move(socket)).first;
  }
  std::shared_ptr<Socket> socket = found->second;
  socket->want_read = readable;
  socket->want_write = writable;
  wait_readable(socket);
  wait_writable(socket);
}

void AresChannel::wait_readable(const std::shared_ptr<Socket>& socket) {
  if (!socket->open || !socket->want_read || socket->reading) return;
  socket->reading = true;
  std::weak_ptr<Socket> weak = socket;
  socket->descriptor.async_wait(StreamDescriptor::wait_read, [this, weak](ErrorCodeSys error) {
    std::shared_ptr<Socket> alive = weak.lock();
    if (!alive || error) return;
    alive->reading = false;
    std::shared_ptr<AresChannel> self = shared_from_this();
    process(alive->fd, ARES_SOCKET_BAD);
    wait_readable(alive);
  });
}

void AresChannel::wait_writable(const std::shared_ptr<Socket>& socket) {
  if (!socket->open || !socket->want_write || socket->writing) return;
  socket->writing = true;
  std::weak_ptr<Socket> weak = socket;
  socket->descriptor.async_wait(StreamDescriptor::wait_write, [this, weak](ErrorCodeSys error) {
    std::shared_ptr<Socket> alive = weak.lock();
    if (!alive || error) return;
    alive->writing = false;
    std::shared_ptr<AresChannel> self = shared_from_this();
    process(ARES_SOCKET_BAD, alive->fd);
    wait_writable(alive);
  });
}

void AresChannel::process(int readable, int writable) {
  ares_process_fd(channel_, readable, writable);
  arm_timer();
}

void AresChannel::arm_timer() {
  // All queries have the same timeout, so an armed timer never fires too late for a newer one.
  if (timer_armed_) return;
  timeval storage{};
  const timeval* wait = ares_timeout(channel_, nullptr, &storage);
  if (wait == nullptr) return;  // nothing pending
  // c-ares wants the time to have passed, not to be reached.
  timer_.expires_after(std::chrono::seconds(wait->tv_sec) +
                       std::chrono::microseconds(wait->tv_usec) + std::chrono::milliseconds(1));
  timer_armed_ = true;
  timer_.async_wait([weak = weak_from_this()](ErrorCodeSys error) {
    std::shared_ptr<AresChannel> self = weak.lock();
    if (!self || error) return;
    self->timer_armed_ = false;
    self->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

Result<std::vector<HostPort>> system_servers(std::string resolv_conf) {
  if (int status = start_library(); status != ARES_SUCCESS) return ares_error(status, "c-ares");
  std::string what = "reading " + resolv_conf;
  ares_options options{};
  options.resolvconf_path = resolv_conf.data();
  ares_channeldata* channel = nullptr;
  int status = ares_init_options(&channel, &options, ARES_OPT_RESOLVCONF);
  if (status != ARES_SUCCESS) return ares_error(status, what);
  ares_addr_port_node* first = nullptr;
  status = ares_get_servers_ports(channel, &first);
  ares_destroy(channel);
  if (status != ARES_SUCCESS) return ares_error(status, what);
  std::vector<HostPort> servers;
  for (const ares_addr_port_node* node = first; node != nullptr; node = node->next) {
    IpAddress address = node->family == AF_INET ? IpAddress::v4(bytes_of<4>(&node->addr.addr4))
                                                : IpAddress::v6(bytes_of<16>(&node->addr.addr6));
    Port port(static_cast<std::uint16_t>(node->udp_port == 0 ? 53 : node->udp_port));
    servers.push_back(HostPort{address, port});
  }
  ares_free_data(first);
  return servers;
}

}  // namespace nono::dns
