#include "tests/proxy/fixture.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace nono::test {

namespace {

constexpr int io_seconds_max = 10;

void limit_time(int fd) {
  const timeval limit{io_seconds_max, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

}  // namespace

Client::Client(const std::string& address, std::uint16_t port) {
  fd_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  limit_time(fd_.get());
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &target.sin_addr);
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&target), sizeof target) != 0) {
    throw std::runtime_error("test client cannot connect to " + address);
  }
}

Client::Client(UniqueFd fd) : fd_(std::move(fd)) {
  limit_time(fd_.get());
}

bool Client::send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

void Client::finish_sending() {
  ::shutdown(fd_.get(), SHUT_WR);
}

std::string Client::receive_until(std::string_view end) {
  std::string out;
  char byte = 0;
  while (!out.ends_with(end) && ::recv(fd_.get(), &byte, 1, 0) == 1) out += byte;
  return out;
}

std::string Client::receive(std::size_t count) {
  std::string out(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const ssize_t got = ::recv(fd_.get(), out.data() + have, count - have, 0);
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  out.resize(have);
  return out;
}

std::string Client::receive_all() {
  std::string out;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
}

bool Client::reset_by_peer() {
  char byte = 0;
  return ::recv(fd_.get(), &byte, 1, 0) < 0 && errno == ECONNRESET;
}

bool Client::closed_by_peer() {
  char byte = 0;
  return ::recv(fd_.get(), &byte, 1, 0) == 0;
}

std::string Client::exchange(std::string_view request) {
  send(request);
  finish_sending();
  return receive_all();
}

Origin::Origin(std::function<void(Client&)> serve, const std::string& address)
    : serve_(std::move(serve)) {
  auto listener = listen_tcp(*IpAddress::parse(address), 0, false);
  if (!listener) throw std::runtime_error(listener.error().what);
  listener_ = std::move(*listener);
  port_ = local_address(listener_)->port.value();
  acceptor_ = std::thread([this] {
    while (!stopping_) {
      pollfd wait{listener_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 50) <= 0) continue;
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) continue;
      ++connections_;
      threads_.emplace_back([this, raw = fd.release()] {
        Client connection{UniqueFd(raw)};
        serve_(connection);
      });
    }
  });
}

Origin::~Origin() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
}

void serve_http(Client& connection) {
  for (;;) {
    const std::string head = connection.receive_until("\r\n\r\n");
    if (!head.ends_with("\r\n\r\n")) return;
    const std::string line = head.substr(0, head.find("\r\n"));
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(line.size()) +
                    "\r\n\r\n" + line);
  }
}

Proxy::Proxy(Setup setup) {
  ServerOptions options;
  SessionSetup& session = options.main.emplace();
  session.config.network = std::move(setup.rules);
  session.config.upstream_proxy = std::move(setup.upstream_proxy);
  session.config.dns_servers = std::move(setup.dns_servers);
  session.credentials = std::move(setup.credentials);
  session.token = Secret(setup.token);
  session.limits = setup.limits;
  options.sessions = std::move(setup.sessions);
  options.via = setup.via;
  options.limits = setup.limits;
  options.threads = setup.threads;
  options.audit_log = setup.audit_log;
  options.audit_required = setup.audit_required;
  options.on_record = [this](const audit::Record& record) {
    const std::lock_guard lock(mutex_);
    records_.push_back(record);
  };
  auto listener = listen_tcp(*IpAddress::parse("127.0.0.1"), 0, setup.threads > 1);
  if (!listener) throw std::runtime_error(listener.error().what);
  port_ = local_address(*listener)->port.value();
  options.listeners.push_back(ListenerSetup{std::move(*listener), setup.trusted});
  options.ca = std::move(setup.ca);
  const auto listen_too = [&](std::uint16_t& port) {
    auto another = listen_tcp(*IpAddress::parse("127.0.0.1"), 0, false);
    if (!another) throw std::runtime_error(another.error().what);
    port = local_address(*another)->port.value();
    return std::move(*another);
  };
  if (setup.captured) {
    options.listeners.push_back({listen_too(captured_port_), true, false, setup.captured});
    options.made_up_names.emplace();
    auto dns = listen_dns(*IpAddress::parse("127.0.0.1"), 0, false);
    if (!dns) throw std::runtime_error(dns.error().what);
    dns_port_ = local_address(dns->udp)->port.value();
    options.dns_listeners.push_back(std::move(*dns));
  }
  if (setup.inner_sockets) {
    options.inbound.push_back({listen_too(inward_port_), Port(setup.inner_port)});
    options.inner_sockets = std::move(setup.inner_sockets);
  }
  auto server = Server::make(std::move(options));
  if (!server) throw std::runtime_error(server.error().what);
  server_ = std::move(*server);
  if (setup.status) {
    auto status = listen_tcp(*IpAddress::parse("127.0.0.1"), 0, false);
    if (!status) throw std::runtime_error(status.error().what);
    status_port_ = local_address(*status)->port.value();
    server_->serve_status(std::move(*status));
  }
  thread_ = std::thread([this] { server_->run(); });
}

Proxy::~Proxy() {
  stop();
}

void Proxy::stop() {
  if (!thread_.joinable()) return;
  server_->stop(std::chrono::milliseconds(0));
  thread_.join();
}

std::vector<audit::Record> Proxy::records() {
  const std::lock_guard lock(mutex_);
  return records_;
}

NetworkRules allowing(std::vector<std::string> hosts) {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  for (std::string& host : hosts)
    rules.allow.push_back(HostRule{std::move(host), {}, nono::Origin{"test"}});
  rules.allow_private.push_back(*Cidr::parse("127.0.0.0/8"));
  return rules;
}

}  // namespace nono::test
