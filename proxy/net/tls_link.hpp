#pragma once
// Between OpenSSL and a TlsStream: the BIO that reads and writes the socket, and what callbacks
// need to know. Internal to proxy/net.

#include <openssl/ssl.h>

#include <array>
#include <optional>
#include <string>

#include "proxy/net/tcp_stream.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono {

// Lives as long as its SSL, which finds it by SSL_get_app_data.
struct TlsLink {
  explicit TlsLink(TcpStream& stream) : tcp(stream) {}
  TlsLink(const TlsLink&) = delete;
  TlsLink& operator=(const TlsLink&) = delete;

  TcpStream& tcp;
  std::string leftover;  // read before TLS began, used up first
  std::size_t leftover_used = 0;
  bool ended = false;   // the peer sent FIN
  bool more = false;    // what is written now is followed by more at once
  int saved_errno = 0;  // of the last failed system call

  const Host* expected = nullptr;  // server side, during the handshake
  ServerTlsContext* server = nullptr;
  std::optional<Error> refusal;  // why a callback broke the handshake off

  ClientTlsContext* client = nullptr;
  std::string session_key;
};

// A BIO over `link`, or nullptr where memory is short.
BIO* make_link_bio(TlsLink& link);

inline TlsLink& link_of(const SSL* ssl) {
  return *static_cast<TlsLink*>(SSL_get_app_data(ssl));
}

// OpenSSL's words for an error code of its queue.
std::string tls_reason(unsigned long code);

}  // namespace nono
