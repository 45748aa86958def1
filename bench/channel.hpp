#pragma once
// One non-blocking connection, plain or TLS, as load and origin use it.

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string_view>

#include "bench/sockets.hpp"

namespace nono::bench {

[[noreturn]] inline void die_tls(const std::string& what) {
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

class Channel {
 public:
  enum class Handshake : std::uint8_t { done, again, failed };

  void open(int fd) { fd_ = fd; }

  void close() {
    if (ssl_ != nullptr) SSL_free(ssl_);
    ssl_ = nullptr;
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  bool has_tls() const { return ssl_ != nullptr; }

  void accept_tls(SSL_CTX* context) {
    begin_tls(context);
    SSL_set_accept_state(ssl_);
  }

  // Verifies the peer's certificate for `name` against the context's authorities.
  void connect_tls(SSL_CTX* context, const std::string& name) {
    begin_tls(context);
    SSL_set_tlsext_host_name(ssl_, name.c_str());
    SSL_set1_host(ssl_, name.c_str());
    SSL_set_connect_state(ssl_);
  }

  Handshake handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    if (result == 1) return Handshake::done;
    return would_block(result) ? Handshake::again : Handshake::failed;
  }

  // Bytes received; 0: the connection is over; -1: nothing now.
  ssize_t receive(char* data, std::size_t size) {
    if (ssl_ == nullptr) {
      const ssize_t got = ::recv(fd_, data, size, 0);
      return got < 0 && errno != EAGAIN ? 0 : got;
    }
    ERR_clear_error();
    const int got = SSL_read(ssl_, data, static_cast<int>(size));
    if (got > 0) return got;
    return would_block(got) ? -1 : 0;
  }

  // Received and decrypted already: epoll will not tell of it.
  bool has_pending() const { return ssl_ != nullptr && SSL_pending(ssl_) > 0; }

  // Bytes taken; 0: none now; -1: the connection is broken.
  ssize_t send(std::string_view data) {
    if (ssl_ == nullptr) {
      const ssize_t sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      return sent < 0 && errno == EAGAIN ? 0 : sent;
    }
    ERR_clear_error();
    const int sent = SSL_write(ssl_, data.data(), static_cast<int>(data.size()));
    if (sent > 0) return sent;
    return would_block(sent) ? 0 : -1;
  }

 private:
  void begin_tls(SSL_CTX* context) {
    ssl_ = SSL_new(context);
    if (ssl_ == nullptr || SSL_set_fd(ssl_, fd_) != 1) die_tls("starting TLS");
  }

  bool would_block(int result) const {
    const int why = SSL_get_error(ssl_, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
  }

  int fd_ = -1;
  SSL* ssl_ = nullptr;
};

inline SSL_CTX* tls_context(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  if (context == nullptr) die_tls("TLS context");
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  return context;
}

inline SSL_CTX* server_tls(const std::string& certificate, const std::string& key) {
  SSL_CTX* context = tls_context(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    die_tls(certificate);
  }
  return context;
}

// Every connection makes a whole handshake: no session is kept.
inline SSL_CTX* client_tls(const std::string& authority) {
  SSL_CTX* context = tls_context(TLS_client_method());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_load_verify_file(context, authority.c_str()) != 1) die_tls(authority);
  return context;
}

}  // namespace nono::bench
