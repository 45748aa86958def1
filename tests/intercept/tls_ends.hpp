#pragma once
// Two ends of a loopback connection, and certificates for tests that no authority of ours would
// make.

#include <boost/asio/co_spawn.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "proxy/intercept/ca.hpp"
#include "proxy/net/tls_stream.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::test {

using namespace std::chrono_literals;
using StreamPtr = std::unique_ptr<TlsStream>;

inline HostName name(const std::string& text) {
  return *HostName::parse(text);
}

// A context, its deadlines, and a way to run several coroutines to their ends.
struct Loop {
  net::io_context io{1};
  Deadlines deadlines{io.get_executor()};

  ~Loop() { deadlines.stop(); }

  // Two connected TCP sockets on 127.0.0.1.
  std::pair<TcpSocket, TcpSocket> sockets() {
    TcpAcceptor acceptor(io.get_executor(),
                         net::ip::tcp::endpoint(net::ip::address_v4::loopback(), 0));
    TcpSocket one(io.get_executor());
    one.connect(acceptor.local_endpoint());
    return {std::move(one), acceptor.accept()};
  }
  std::pair<std::unique_ptr<TcpStream>, std::unique_ptr<TcpStream>> streams() {
    auto [one, other] = sockets();
    return {stream(std::move(one)), stream(std::move(other))};
  }
  std::unique_ptr<TcpStream> stream(TcpSocket socket) {
    return std::make_unique<TcpStream>(UniqueFd(socket.release()), io.get_executor(), deadlines);
  }

  template <class T>
  std::shared_ptr<std::optional<T>> start(Awaitable<T> coroutine) {
    auto result = std::make_shared<std::optional<T>>();
    ++running_;
    auto on_end = [this, result](std::exception_ptr thrown, T value) {
      --running_;
      if (thrown) std::rethrow_exception(thrown);
      result->emplace(std::move(value));
    };
    net::co_spawn(io.get_executor(), std::move(coroutine), on_end);
    return result;
  }
  // Until `condition` holds; throws when that takes too long.
  template <class Condition>
  void until(Condition condition, std::chrono::milliseconds within = 20s) {
    const auto end = std::chrono::steady_clock::now() + within;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) throw std::runtime_error("never happened");
      io.restart();
      io.run_one_for(100ms);
    }
  }
  // Until everything started has ended.
  void run(std::chrono::milliseconds within = 20s) {
    until([this] { return running_ == 0; }, within);
  }
  template <class A, class B>
  std::pair<A, B> run_both(Awaitable<A> a, Awaitable<B> b) {
    auto first = start(std::move(a));
    auto second = start(std::move(b));
    run();
    return {std::move(**first), std::move(**second)};
  }

 private:
  int running_ = 0;
};

// Serves one certificate whatever is asked for.
class FixedCertificate final : public CertificateSource {
 public:
  explicit FixedCertificate(ServerCertificate certificate) : certificate_(std::move(certificate)) {}
  Result<const ServerCertificate*> certificate_for(const Host&) override { return &certificate_; }

 private:
  ServerCertificate certificate_;
};

// A CA, a server context that mints from it, and a client context that trusts it.
struct Trusting {
  std::shared_ptr<intercept::CertificateAuthority> ca =
      *intercept::CertificateAuthority::generate();
  intercept::LeafCache leaves{ca};
  std::unique_ptr<ServerTlsContext> server = *ServerTlsContext::make(leaves);
  nono::testing::TempDir folder;
  std::string ca_file = folder.write("ca.pem", ca->certificate_pem());
  std::unique_ptr<ClientTlsContext> client = *ClientTlsContext::make({ca_file});
};

inline Awaitable<Result<StreamPtr>> connect_to(std::unique_ptr<TcpStream> tcp,
                                               ClientTlsContext& context, HostPort target,
                                               std::string identity) {
  auto stream = co_await TlsStream::connect(std::move(tcp), context, target, identity);
  co_return stream;
}
inline Awaitable<Result<StreamPtr>> accept_from(std::unique_ptr<TcpStream> tcp,
                                                ServerTlsContext& context, Host expected,
                                                std::string already_read = {}) {
  auto stream =
      co_await TlsStream::accept(std::move(tcp), std::move(already_read), context, expected);
  co_return stream;
}

struct Ends {
  StreamPtr client, server;
};

inline std::pair<Result<StreamPtr>, Result<StreamPtr>> shake(Loop& loop, ClientTlsContext& client,
                                                             ServerTlsContext& server,
                                                             const Host& asked,
                                                             const Host& expected,
                                                             const std::string& identity = "me") {
  auto [near, far] = loop.streams();
  const HostPort target{asked, https_port};
  return loop.run_both(connect_to(std::move(near), client, target, identity),
                       accept_from(std::move(far), server, expected));
}

inline Ends connected(Loop& loop, Trusting& trusting, const std::string& identity = "me") {
  const Host host = name("api.test");
  auto [client, server] = shake(loop, *trusting.client, *trusting.server, host, host, identity);
  if (!client) throw std::runtime_error(client.error().what);
  if (!server) throw std::runtime_error(server.error().what);
  return {std::move(*client), std::move(*server)};
}

// Reads until `size` bytes or the end or an error.
inline Awaitable<Result<std::string>> read_exactly(ByteStream& stream, std::size_t size) {
  std::string text(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const std::span<char> room(text.data() + filled, size - filled);
    auto count = co_await stream.read_some(room);
    if (!count) co_return fail(count.error());
    if (*count == 0) break;
    filled += *count;
  }
  text.resize(filled);
  co_return text;
}

inline Awaitable<Result<void>> write_text(ByteStream& stream, std::string text) {
  auto written = co_await stream.write_all(text);
  co_return written;
}

}  // namespace nono::test
