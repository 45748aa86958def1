#include "proxy/net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "proxy/net/tls_link.hpp"

namespace nono {

namespace {

// Read so much without ever waiting, and the others get a turn.
constexpr std::size_t turn_bytes_max = 256 * 1024;

Error certificate_failure(long verdict, std::string_view peer) {
  const std::string reason = X509_verify_cert_error_string(verdict);
  std::string what = "certificate of ";
  what += peer;
  std::string fix;
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      what += " has expired";
      fix = "the server has to renew it; if it is valid, this machine's clock is wrong";
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      what += " is not valid yet";
      fix = "check this machine's clock";
      break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      what += " is for another name: " + reason;
      break;
    default:
      what += " is not trusted: " + reason;
      fix = "if its issuer is your own, name it with --upstream-ca FILE";
  }
  return Error{Side::upstream, ErrorCode::tls_failed, std::move(what), std::move(fix)};
}

bool client_distrusts_us(int reason) {
  return reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
         reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN ||
         reason == SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE;
}

bool is_no_tls(int reason) {
  return reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST ||
         reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_UNEXPECTED_MESSAGE ||
         reason == SSL_R_RECORD_LENGTH_MISMATCH || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
         reason == SSL_R_BAD_RECORD_TYPE || reason == SSL_R_LENGTH_TOO_SHORT;
}

Error client_failure(int reason, std::string_view peer, const std::string& words) {
  const std::string name(peer);
  if (client_distrusts_us(reason)) {
    return Error{Side::client, ErrorCode::tls_failed,
                 "the client does not trust nono's certificate for " + name,
                 "let its TLS library use the bundle that SSL_CERT_FILE names"};
  }
  if (is_no_tls(reason)) {
    return Error{Side::client,
                 ErrorCode::bad_request,
                 "the client does not speak TLS in its tunnel to " + name,
                 {}};
  }
  return Error{Side::client,
               ErrorCode::tls_failed,
               "the client's TLS handshake for " + name + " failed: " + words,
               {}};
}

// SSL_get_error(3): the queue must be empty before a call. Nearly always it is, and emptying an
// empty one costs more than looking.
void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

void FreeSsl::operator()(ssl_st* ssl) const noexcept {
  SSL_free(ssl);
}

TlsStream::TlsStream(std::unique_ptr<TcpStream> tcp, Side side)
    : tcp_(std::move(tcp)), link_(std::make_unique<TlsLink>(*tcp_)), side_(side) {}

TlsStream::~TlsStream() {
  // OpenSSL takes a session without goodbyes for broken and would not resume it. TLS 1.1 and later
  // need not (RFC 4346 7.2.1), and many servers never say goodbye.
  const bool sound = !failed_ || failed_->code != ErrorCode::tls_failed;
  if (ssl_ && sound) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

Result<void> TlsStream::attach(ssl_ctx_st* context) {
  ssl_.reset(SSL_new(context));
  BIO* bio = ssl_ ? make_link_bio(*link_) : nullptr;
  if (bio == nullptr) return fail(ErrorCode::internal, "no memory for a TLS connection");
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), link_.get());
  return {};
}

Awaitable<Result<std::unique_ptr<TlsStream>>> TlsStream::accept(std::unique_ptr<TcpStream> tcp,
                                                                std::string already_read,
                                                                ServerTlsContext& context,
                                                                const Host& expected) {
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(tcp), Side::client));
  auto attached = stream->attach(context.context_.get());
  if (!attached) co_return fail(attached.error());
  TlsLink& link = *stream->link_;
  link.leftover = std::move(already_read);
  link.expected = &expected;
  link.server = &context;
  SSL_set_accept_state(stream->ssl_.get());
  const std::string peer = expected.to_string();
  auto shaken = co_await stream->handshake(peer);
  link.expected = nullptr;
  if (!shaken) {
    co_await stream->tcp_->close_gracefully();  // the client shall see our alert, not a reset
    co_return fail(shaken.error());
  }
  co_return stream;
}

Awaitable<Result<std::unique_ptr<TlsStream>>> TlsStream::connect(std::unique_ptr<TcpStream> tcp,
                                                                 ClientTlsContext& context,
                                                                 const HostPort& target,
                                                                 std::string_view identity) {
  auto ready = context.ready();
  if (!ready) co_return fail(ready.error());
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(tcp), Side::upstream));
  auto attached = stream->attach(*ready);
  if (!attached) co_return fail(attached.error());
  SSL* ssl = stream->ssl_.get();
  TlsLink& link = *stream->link_;
  link.client = &context;
  link.session_key = target.to_string() + " " + std::string(identity);
  const std::string peer = target.host.to_string();
  bool named = false;
  if (target.host.is_name()) {
    // Spelled out: the macro SSL_set_tlsext_host_name casts in the old style.
    void* sni = const_cast<char*>(peer.c_str());
    named = SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni) == 1 &&
            SSL_set1_host(ssl, peer.c_str()) == 1;
  } else {
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), peer.c_str()) == 1;
  }
  if (!named) co_return fail(ErrorCode::internal, "cannot set the name to verify: " + peer);
  if (const SslSessionPtr session = context.recall(link.session_key)) {
    SSL_set_session(ssl, session.get());
  }
  SSL_set_connect_state(ssl);
  auto shaken = co_await stream->handshake(peer);
  if (!shaken) co_return fail(shaken.error());
  // A TLS 1.2 session may be used again; newer ones come as tickets after the handshake.
  if (SSL_session_reused(ssl) == 1 && SSL_version(ssl) == TLS1_2_VERSION) {
    context.remember(link.session_key, SslSessionPtr(SSL_get1_session(ssl)));
  }
  co_return stream;
}

Awaitable<Result<void>> TlsStream::handshake(std::string_view peer) {
  while (true) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) co_return Result<void>{};
    const int ssl_error = SSL_get_error(ssl_.get(), result);
    if (ssl_error != SSL_ERROR_WANT_READ && ssl_error != SSL_ERROR_WANT_WRITE) {
      co_return fail(handshake_failure(ssl_error, peer));
    }
    auto waited = co_await wait_for(ssl_error);
    if (!waited) {
      Error error = waited.error();
      const std::string with = side_ == Side::client ? "the client" : std::string(peer);
      if (error.code == ErrorCode::timeout) {
        error.what = "it took too long";
        error.fix = "raise tls_time_max";
        if (side_ == Side::upstream) error.code = ErrorCode::connect_timeout;
      }
      error.what = "the TLS handshake with " + with + " failed: " + error.what;
      co_return fail(std::move(error));
    }
  }
}

Awaitable<Result<void>> TlsStream::wait_for(int ssl_error) {
  bytes_at_once_ = 0;
  Result<void> ready;
  if (ssl_error == SSL_ERROR_WANT_READ) {
    ready = co_await tcp_->wait_readable();
  } else {
    ready = co_await tcp_->wait_writable();
  }
  if (!ready) {
    Error error = ready.error();
    error.side = side_;
    co_return fail(std::move(error));
  }
  co_return Result<void>{};
}

// Reads as many records as are there and fit. The SSL error that ended it, or SSL_ERROR_NONE.
int TlsStream::read_now(std::span<char> buffer, std::size_t& total) {
  while (total < buffer.size()) {
    forget_errors();
    std::size_t count = 0;
    const int result =
        SSL_read_ex(ssl_.get(), buffer.data() + total, buffer.size() - total, &count);
    if (result != 1) return SSL_get_error(ssl_.get(), result);
    total += count;
  }
  return SSL_ERROR_NONE;
}

Awaitable<Result<std::size_t>> TlsStream::read_some(std::span<char> buffer) {
  if (bytes_at_once_ >= turn_bytes_max) {
    bytes_at_once_ = 0;
    co_await net::post(tcp_->executor(), net::deferred);
  }
  while (!failed_) {
    std::size_t total = 0;
    const int ssl_error = read_now(buffer, total);
    const bool waits = ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE;
    if (!waits && ssl_error != SSL_ERROR_NONE && ssl_error != SSL_ERROR_ZERO_RETURN) {
      failed_ = failure(ssl_error);
    }
    bytes_at_once_ += total;
    if (total > 0 || ssl_error == SSL_ERROR_ZERO_RETURN || buffer.empty()) co_return total;
    if (!waits) break;
    auto waited = co_await wait_for(ssl_error);
    if (!waited) co_return fail(waited.error());
  }
  co_return fail(*failed_);
}

Awaitable<Result<void>> TlsStream::write_all(std::span<const char> data) {
  while (!data.empty()) {
    if (failed_) co_return fail(*failed_);
    forget_errors();
    std::size_t count = 0;
    // A call writes one record. The kernel sends several of them together.
    link_->more = data.size() > SSL3_RT_MAX_PLAIN_LENGTH;
    const int result = SSL_write_ex(ssl_.get(), data.data(), data.size(), &count);
    link_->more = false;
    if (result == 1) {
      data = data.subspan(count);
      continue;
    }
    const int ssl_error = SSL_get_error(ssl_.get(), result);
    if (ssl_error == SSL_ERROR_WANT_WRITE || ssl_error == SSL_ERROR_WANT_READ) {
      auto waited = co_await wait_for(ssl_error);
      if (!waited) co_return fail(waited.error());
    } else {
      failed_ = failure(ssl_error);
    }
  }
  co_return Result<void>{};
}

Error TlsStream::failure(int ssl_error) {
  const TlsLink& link = *link_;
  if (tcp_->timed_out()) {
    return Error{side_, ErrorCode::timeout, "the TLS connection took too long", {}};
  }
  if (!tcp_->is_open()) {
    return Error{side_, ErrorCode::closed, "the TLS connection was closed here", {}};
  }
  if (link.ended) {
    return Error{
        side_, ErrorCode::closed, "the peer ended the connection without a TLS goodbye", {}};
  }
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (ssl_error == SSL_ERROR_SYSCALL || code == 0) {
    if (link.saved_errno == ECONNRESET || link.saved_errno == EPIPE) {
      return Error{side_, ErrorCode::closed, "the peer reset the connection", {}};
    }
    return errno_error(link.saved_errno, "the TLS connection failed", side_);
  }
  return Error{side_, ErrorCode::tls_failed, "the TLS connection broke: " + tls_reason(code), {}};
}

Error TlsStream::handshake_failure(int ssl_error, std::string_view peer) {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  if (link_->refusal) {
    ERR_clear_error();
    return *link_->refusal;
  }
  const bool peer_gone = link_->ended || ssl_error == SSL_ERROR_SYSCALL || code == 0;
  if (peer_gone && !is_no_tls(reason)) {
    Error error = failure(ssl_error);
    error.what = "TLS handshake with ";
    error.what += side_ == Side::client ? "the client" : peer;
    error.what += " failed: the connection ended";
    if (error.code == ErrorCode::io) error.code = ErrorCode::closed;
    return error;
  }
  const std::string words = tls_reason(code);
  ERR_clear_error();
  if (side_ == Side::client) return client_failure(reason, peer, words);
  const long verdict = SSL_get_verify_result(ssl_.get());
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK) {
    return certificate_failure(verdict, peer);
  }
  return Error{Side::upstream,
               ErrorCode::tls_failed,
               "TLS with " + std::string(peer) + " failed: " + words,
               {}};
}

// One attempt: what does not fit into the socket's buffer now is not worth waiting for.
void TlsStream::say_goodbye() noexcept {
  if (failed_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

Awaitable<Result<void>> TlsStream::shutdown_send() {
  say_goodbye();
  auto ended = co_await tcp_->shutdown_send();
  co_return ended;
}

Awaitable<void> TlsStream::close_gracefully() {
  say_goodbye();
  co_await tcp_->close_gracefully();
}

bool TlsStream::is_quiet() noexcept {
  if (failed_ || !tcp_->is_open()) return false;
  if (!tcp_->readiness().is_current()) tcp_->readiness().may_be_readable();
  ERR_clear_error();
  char byte = 0;
  std::size_t count = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, 1, &count);
  const bool quiet = result != 1 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
  ERR_clear_error();
  return quiet && !link_->ended;
}

void TlsStream::close() noexcept {
  tcp_->close();
}

void TlsStream::expires_after(std::chrono::milliseconds after) {
  tcp_->expires_after(after);
}

void TlsStream::reads_expire_after(std::chrono::milliseconds after) {
  tcp_->reads_expire_after(after);
}

void TlsStream::never_expires() noexcept {
  tcp_->never_expires();
}

std::string_view TlsStream::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool TlsStream::resumed() const {
  return SSL_session_reused(ssl_.get()) == 1;
}

}  // namespace nono
