#pragma once
// A listener that speaks TLS (an HTTPS proxy): TLS ends here, and what is inside goes through a
// socket pair to a connection like any other.

#include <memory>
#include <string>

#include "proxy/intercept/pem_identity.hpp"
#include "proxy/net/tcp_stream.hpp"
#include "proxy/session.hpp"

namespace nono {

class Worker;

// One per worker whose listeners speak TLS; used on its thread. A certificate that was read again
// is another front: who came to the old one stays with it.
class TlsFront {
 public:
  static Result<std::shared_ptr<TlsFront>> make(const ServerCertificate& certificate);

  // Serves one client to its end. The connection inside is `own`'s, or asks for a token.
  static Awaitable<void> serve(std::shared_ptr<TlsFront> front, Worker& worker, UniqueFd socket,
                               SessionPtr own);
  // Tells a client that is not let in why: `answer` and the end.
  static Awaitable<void> turn_away(std::shared_ptr<TlsFront> front, Worker& worker, UniqueFd socket,
                                   std::string answer);

 private:
  explicit TlsFront(const ServerCertificate& certificate) : source_(certificate) {}

  intercept::FileCertificate source_;
  std::unique_ptr<ServerTlsContext> context_;
};

}  // namespace nono
