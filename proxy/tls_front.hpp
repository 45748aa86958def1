#pragma once
// A listener that speaks TLS (an HTTPS proxy): TLS ends here, and what is inside goes through a
// socket pair to a connection like any other.

#include <memory>

#include "proxy/intercept/pem_identity.hpp"
#include "proxy/net/tcp_stream.hpp"
#include "proxy/session.hpp"

namespace nono {

class Worker;

// One per worker whose listeners speak TLS, another when the certificate is read again; used on its
// thread.
class TlsFront {
 public:
  static Result<std::unique_ptr<TlsFront>> make(const ServerCertificate& certificate);

  // Serves one client to its end. The connection inside is `own`'s, or asks for a token.
  Awaitable<void> serve(Worker& worker, TcpSocket socket, SessionPtr own);

 private:
  explicit TlsFront(const ServerCertificate& certificate) : source_(certificate) {}

  intercept::FileCertificate source_;
  std::unique_ptr<ServerTlsContext> context_;
};

}  // namespace nono
