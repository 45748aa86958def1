#pragma once
// TlsStream: a ByteStream inside TLS, put upon a TcpStream. OpenSSL reads and writes the socket
// itself; only waiting goes through Asio, which costs a sixth of the memory of asio::ssl::stream.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/host.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/tcp_stream.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono {

struct TlsLink;  // what OpenSSL's callbacks see of a stream
struct FreeSsl {
  void operator()(ssl_st* ssl) const noexcept;
};

// Deadlines are the TcpStream's: set expires_after() on it before accept() or connect().
class TlsStream final : public ByteStream {
 public:
  // Handshake with a client whose connection we intercept (we are the TLS server). `already_read`
  // are bytes read past the CONNECT head. The client's SNI must equal `expected`; it may be absent
  // only where that is an address. Errors (side client): misdirected where SNI differs (the client
  // gets the alert unrecognized_name), bad_request where it is no TLS, tls_failed where no
  // certificate, version, cipher or protocol is agreed on (the client does not trust our CA),
  // closed, timeout.
  static Awaitable<Result<std::unique_ptr<TlsStream>>> accept(std::unique_ptr<TcpStream> tcp,
                                                              std::string already_read,
                                                              ServerTlsContext& context,
                                                              const Host& expected);

  // Handshake with an upstream: its certificate must be trusted and be for `target`. `identity`
  // names the policy on whose behalf we connect: sessions are resumed only within the same identity
  // and target. Errors (side upstream): tls_failed, naming what is wrong and with which flag to go
  // on; closed, timeout.
  static Awaitable<Result<std::unique_ptr<TlsStream>>> connect(std::unique_ptr<TcpStream> tcp,
                                                               ClientTlsContext& context,
                                                               const HostPort& target,
                                                               std::string_view identity);

  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // 0 only after the peer's close_notify. A connection that ends without one was perhaps cut:
  // `closed`. That matters to bodies delimited by the end; whoever has all of a framed message need
  // not read on.
  Awaitable<Result<std::size_t>> read_some(std::span<char> buffer) override;
  Awaitable<Result<void>> write_all(std::span<const char> data) override;
  Awaitable<Result<void>> shutdown_send() override;
  Awaitable<void> close_gracefully() override;
  void close() noexcept override;
  bool is_open() const noexcept override { return tcp_->is_open(); }
  bool peer_ended() noexcept override { return tcp_->peer_ended(); }
  // Takes in what TLS itself has to say between two messages (tickets, a goodbye).
  bool is_quiet() noexcept override;
  void expires_after(std::chrono::milliseconds after) override;
  void reads_expire_after(std::chrono::milliseconds after) override;
  void never_expires() noexcept override;

  // Sends close_notify as far as it goes at once, and leaves the connection open.
  void say_goodbye() noexcept;
  std::string_view alpn() const;  // empty: none agreed on
  bool resumed() const;           // the handshake was abbreviated
  TcpStream& tcp() { return *tcp_; }

 private:
  TlsStream(std::unique_ptr<TcpStream> tcp, Side side);
  Result<void> attach(ssl_ctx_st* context);
  Awaitable<Result<void>> handshake(std::string_view peer);
  Awaitable<Result<void>> wait_for(int ssl_error);
  int read_now(std::span<char> buffer, std::size_t& total);
  Error failure(int ssl_error);
  Error handshake_failure(int ssl_error, std::string_view peer);

  std::unique_ptr<TcpStream> tcp_;
  std::unique_ptr<TlsLink> link_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  std::optional<Error> failed_;    // fatal: nothing may be sent or read any more
  std::size_t bytes_at_once_ = 0;  // read since we last waited, for fairness
  Side side_;
};

}  // namespace nono
