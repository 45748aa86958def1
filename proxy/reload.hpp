#pragma once
// A configuration that was read again.

#include <optional>
#include <vector>

#include "proxy/net/tls_context.hpp"
#include "proxy/session_setup.hpp"

namespace nono {

// What a configuration that was read again brings. All of it counts or none.
struct Reload {
  std::optional<SessionSetup> main;
  std::vector<SessionSetup> sessions;  // of the file: what is not among them is revoked
  std::optional<ServerCertificate> listener_certificate;  // absent: the one there is stays
  Limits limits;
  bool no_auth = false;
  bool socks5 = true;
  bool via = false;
  bool cut = false;  // connections that began under the old policy are closed
};

}  // namespace nono
