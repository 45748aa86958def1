#pragma once
// A proxy on its own thread, blocking clients, and a scripted origin: everything on loopback, port
// 0.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/server.hpp"

namespace nono::test {

// A blocking loopback connection with a time limit on everything.
class Client {
 public:
  Client(const std::string& address, std::uint16_t port);
  explicit Client(UniqueFd fd);
  bool send(std::string_view text);  // false: the peer has closed
  void finish_sending();
  std::string receive_until(
      std::string_view end);  // up to and with `end`; what came if the peer closed
  std::string receive(std::size_t count);
  std::string receive_all();
  bool reset_by_peer();                            // the connection was broken off, and not a byte
  bool closed_by_peer();                           // end of stream, and not a byte more
  std::string exchange(std::string_view request);  // sends, then receives everything

 private:
  UniqueFd fd_;
};

// A TCP server that runs `serve` on a thread of its own for each connection.
class Origin {
 public:
  explicit Origin(std::function<void(Client&)> serve, const std::string& address = "127.0.0.1");
  ~Origin();
  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }

 private:
  std::function<void(Client&)> serve_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// Answers each request of a connection in turn with a small body that names the request line.
void serve_http(Client& connection);

class Proxy {
 public:
  struct Setup {
    NetworkRules rules;
    std::vector<LoadedCredential> credentials;
    bool trusted = true;
    Limits limits;
    unsigned threads = 1;
    std::string audit_log;
    bool audit_required = false;
    std::optional<UpstreamProxy> upstream_proxy;
    std::vector<HostPort> dns_servers;
    std::vector<SessionSetup> sessions;  // beside the main one
    bool via = false;
    std::string token = Proxy::token;
    // A further listener whose clients know of no proxy, and DNS with made-up addresses.
    std::shared_ptr<OriginalDestination> captured;
    // A further listener that leads to this port inside.
    std::shared_ptr<InnerSockets> inner_sockets;
    std::uint16_t inner_port = 0;
    std::shared_ptr<intercept::CertificateAuthority> ca;
    bool status = false;  // serves /metrics, /healthz and /readyz on status_port()
  };
  explicit Proxy(Setup setup);
  ~Proxy();
  std::uint16_t port() const { return port_; }
  std::uint16_t status_port() const { return status_port_; }
  Client connect() const { return {"127.0.0.1", port_}; }
  Client connect_captured() const { return {"127.0.0.1", captured_port_}; }
  Client connect_inward() const { return {"127.0.0.1", inward_port_}; }
  std::uint16_t dns_port() const { return dns_port_; }
  static constexpr const char* token = "0123456789abcdef";
  void stop();
  void drain(std::chrono::milliseconds grace) { server_->stop(grace); }  // does not wait
  std::vector<audit::Record> records();  // so far; complete after stop()
  std::vector<audit::Record> refusals() const { return server_->refusals(); }

 private:
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0, status_port_ = 0;
  std::uint16_t captured_port_ = 0, inward_port_ = 0, dns_port_ = 0;
  std::mutex mutex_;
  std::vector<audit::Record> records_;
  std::thread thread_;
};

// Rules that allow the given hosts and loopback addresses behind names.
NetworkRules allowing(std::vector<std::string> hosts);

}  // namespace nono::test
