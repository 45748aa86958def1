#include "tests/support/fake_dns.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <list>
#include <memory>
#include <optional>
#include <stdexcept>

namespace nono::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t type_cname = 5;
constexpr std::uint8_t rcode_formerr = 1, rcode_servfail = 2, rcode_nxdomain = 3, rcode_refused = 5;

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

void put16(Bytes& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value & 0xff));
}

void put_name(Bytes& out, const std::string& name) {
  std::size_t start = 0;
  while (start < name.size()) {
    std::size_t end = std::min(name.find('.', start), name.size());
    out.push_back(static_cast<std::uint8_t>(end - start));
    out.insert(out.end(), name.begin() + static_cast<std::ptrdiff_t>(start),
               name.begin() + static_cast<std::ptrdiff_t>(end));
    start = end + 1;
  }
  out.push_back(0);
}

std::optional<DnsQuery> parse(const Bytes& message) {
  if (message.size() < 12 || message[5] != 1) return std::nullopt;
  DnsQuery query;
  query.edns = message[11] != 0;  // the only additional record a query has
  std::size_t at = 12;
  while (at < message.size() && message[at] != 0) {
    std::size_t length = message[at];
    if (length > 63 || at + length + 1 >= message.size()) return std::nullopt;
    if (!query.name.empty()) query.name += '.';
    for (std::size_t i = 1; i <= length; ++i) query.name += static_cast<char>(message[at + i]);
    at += length + 1;
  }
  if (at + 5 > message.size()) return std::nullopt;
  query.type = static_cast<std::uint16_t>(message[at + 1] << 8 | message[at + 2]);
  return query;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool bind_to(int fd, const sockaddr_in& address) {
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

struct FakeDns::Connection {
  UniqueFd fd;
  Bytes buffer;
};

FakeDns::FakeDns() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // A port that is free for TCP may be taken for UDP.
  for (int attempt = 0; attempt < 50; ++attempt) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    udp_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!bind_to(listener_.get(), loopback(0)) || ::listen(listener_.get(), 64) != 0) continue;
    std::uint16_t port = port_of(listener_.get());
    if (!bind_to(udp_.get(), loopback(port))) continue;
    port_ = Port(port);
    thread_ = std::thread([this] { run(); });
    return;
  }
  throw std::runtime_error("no port for the test's DNS server");
}

FakeDns::~FakeDns() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  thread_.join();
}

HostPort FakeDns::endpoint() const {
  return HostPort{IpAddress::v4({127, 0, 0, 1}), port_};
}

void FakeDns::add_a(const std::string& name, const std::string& address,
                    std::uint32_t ttl_seconds) {
  auto bytes = IpAddress::parse(address).value().v4_bytes();
  std::lock_guard lock(mutex_);
  zone_.emplace(lower(name),
                Record{dns_type_a, Bytes(bytes.begin(), bytes.end()), {}, ttl_seconds});
}

void FakeDns::add_aaaa(const std::string& name, const std::string& address,
                       std::uint32_t ttl_seconds) {
  auto bytes = IpAddress::parse(address).value().bytes();
  std::lock_guard lock(mutex_);
  zone_.emplace(lower(name),
                Record{dns_type_aaaa, Bytes(bytes.begin(), bytes.end()), {}, ttl_seconds});
}

void FakeDns::add_cname(const std::string& name, const std::string& target,
                        std::uint32_t ttl_seconds) {
  std::lock_guard lock(mutex_);
  zone_.emplace(lower(name), Record{type_cname, {}, target, ttl_seconds});
}

void FakeDns::set_fault(DnsFault fault, const std::string& name, std::uint16_t type) {
  std::lock_guard lock(mutex_);
  faults_.push_back(Fault{lower(name), type, fault});
}

void FakeDns::release() {
  {
    std::lock_guard lock(mutex_);
    releasing_ = true;
  }
  wake();
}

std::vector<DnsQuery> FakeDns::queries() const {
  std::lock_guard lock(mutex_);
  return queries_;
}

std::size_t FakeDns::count(const std::string& name, std::uint16_t type) const {
  std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(queries_.begin(), queries_.end(), [&](const DnsQuery& query) {
        return lower(query.name) == lower(name) && (type == 0 || query.type == type);
      }));
}

bool FakeDns::wait_for_queries(std::size_t number) const {
  std::unique_lock lock(mutex_);
  return asked_.wait_for(lock, std::chrono::seconds(10), [&] { return queries_.size() >= number; });
}

void FakeDns::wake() const {
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void FakeDns::run() {
  std::list<Connection> connections;
  while (true) {
    std::vector<pollfd> watched{
        {wake_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const Connection& connection : connections) {
      watched.push_back({connection.fd.get(), POLLIN, 0});
    }
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;

    std::vector<std::function<void()>> released;
    {
      std::uint64_t ignored = 0;
      [[maybe_unused]] ssize_t got = ::read(wake_.get(), &ignored, sizeof ignored);
      std::lock_guard lock(mutex_);
      if (stopping_) return;
      if (std::exchange(releasing_, false)) released.swap(held_);
    }
    for (const std::function<void()>& send : released) send();

    if (watched[1].revents != 0) serve_udp();
    std::size_t index = 3;
    for (auto it = connections.begin(); it != connections.end(); ++index) {
      bool open = watched[index].revents == 0 || serve_tcp(*it);
      it = open ? std::next(it) : connections.erase(it);
    }
    if (watched[2].revents != 0) {
      UniqueFd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (accepted) connections.push_back(Connection{std::move(accepted), {}});
    }
  }
}

void FakeDns::serve_udp() {
  for (int batch = 0; batch < 64; ++batch) {
    Bytes query(4096);
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    ssize_t got = ::recvfrom(udp_.get(), query.data(), query.size(), 0,
                             reinterpret_cast<sockaddr*>(&peer), &size);
    if (got < 0) return;
    query.resize(static_cast<std::size_t>(got));
    handle(query, false, ntohs(peer.sin_port), [this, peer](const Bytes& reply) {
      ::sendto(udp_.get(), reply.data(), reply.size(), 0, reinterpret_cast<const sockaddr*>(&peer),
               sizeof peer);
    });
  }
}

bool FakeDns::serve_tcp(Connection& connection) {
  std::array<std::uint8_t, 4096> chunk{};
  ssize_t got = ::recv(connection.fd.get(), chunk.data(), chunk.size(), 0);
  if (got <= 0) return false;
  Bytes& buffer = connection.buffer;
  buffer.insert(buffer.end(), chunk.begin(), chunk.begin() + got);
  while (buffer.size() >= 2) {
    std::size_t size = std::size_t{buffer[0]} << 8 | buffer[1];
    if (buffer.size() < size + 2) break;
    auto end = buffer.begin() + static_cast<std::ptrdiff_t>(size + 2);
    Bytes query(buffer.begin() + 2, end);
    buffer.erase(buffer.begin(), end);
    auto copy = std::make_shared<UniqueFd>(::dup(connection.fd.get()));
    handle(query, true, 0, [copy](const Bytes& reply) {
      Bytes framed;
      put16(framed, static_cast<unsigned>(reply.size()));
      framed.insert(framed.end(), reply.begin(), reply.end());
      ::send(copy->get(), framed.data(), framed.size(), MSG_NOSIGNAL);
    });
  }
  return true;
}

void FakeDns::handle(const Bytes& query, bool tcp, std::uint16_t from, const Send& send) {
  std::optional<DnsQuery> parsed = parse(query);
  if (!parsed) return;
  parsed->tcp = tcp;
  parsed->from = from;
  Bytes message;
  {
    std::lock_guard lock(mutex_);
    queries_.push_back(*parsed);
    asked_.notify_all();
    DnsFault fault = fault_for(*parsed);
    if (fault == DnsFault::silent) return;
    message = reply(query, *parsed, fault);
    if (fault == DnsFault::hold) {
      held_.push_back([send, message] { send(message); });
      return;
    }
  }
  send(message);
}

DnsFault FakeDns::fault_for(const DnsQuery& query) const {
  for (auto it = faults_.rbegin(); it != faults_.rend(); ++it) {
    bool name_fits = it->name.empty() || it->name == lower(query.name);
    if (name_fits && (it->type == 0 || it->type == query.type)) return it->fault;
  }
  return DnsFault::none;
}

FakeDns::Bytes FakeDns::reply(const Bytes& query, const DnsQuery& parsed, DnsFault fault) const {
  if (fault == DnsFault::garbage) return Bytes(64, 0xa5);
  bool shout = fault == DnsFault::shouting;
  Bytes message{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0};
  std::string question = shout ? upper(parsed.name) : parsed.name;
  put_name(message, fault == DnsFault::wrong_question ? "other." + question : question);
  put16(message, parsed.type);
  put16(message, 1);
  if (fault == DnsFault::servfail) message[3] |= rcode_servfail;
  if (fault == DnsFault::refused) message[3] |= rcode_refused;
  if (fault == DnsFault::servfail || fault == DnsFault::refused) return message;
  if (fault == DnsFault::formerr_on_edns && parsed.edns) {
    message[3] |= rcode_formerr;
    return message;
  }
  if (fault == DnsFault::truncated && !parsed.tcp) {
    message[2] |= 0x02;
    return message;
  }
  answer(message, parsed, shout);
  if (fault == DnsFault::wrong_id) message[0] = static_cast<std::uint8_t>(message[0] ^ 0xff);
  if (fault == DnsFault::cut_short) message.resize(message.size() - 3);
  return message;
}

void FakeDns::answer(Bytes& message, const DnsQuery& query, bool shout) const {
  std::string owner = lower(query.name);
  if (zone_.count(owner) == 0) {
    message[3] |= rcode_nxdomain;
    return;
  }
  std::uint8_t answers = 0;
  for (int hop = 0; hop < 16; ++hop) {
    std::string next;
    auto [first, last] = zone_.equal_range(owner);
    for (auto it = first; it != last; ++it) {
      const Record& record = it->second;
      if (record.type != query.type && record.type != type_cname) continue;
      put_name(message, shout ? upper(owner) : owner);
      put16(message, record.type);
      put16(message, 1);
      put16(message, record.ttl_seconds >> 16);
      put16(message, record.ttl_seconds & 0xffff);
      Bytes data = record.data;
      if (record.type == type_cname) {
        next = lower(record.target);
        put_name(data, record.target);
      }
      put16(message, static_cast<unsigned>(data.size()));
      message.insert(message.end(), data.begin(), data.end());
      ++answers;
    }
    if (next.empty()) break;
    owner = next;
  }
  message[7] = answers;
}

}  // namespace nono::test
