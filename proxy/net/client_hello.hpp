#pragma once
// Reading the server name out of a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3) without taking part
// in TLS.

#include <cstdint>
#include <string>
#include <string_view>

namespace nono {

struct ClientHello {
  enum class State : std::uint8_t {
    incomplete,  // more bytes are needed
    complete,
    not_tls,    // no server takes what is there for TLS
    malformed,  // begins like TLS, and then does not follow its grammar or is no ClientHello
  };
  State state = State::incomplete;
  std::string server_name;       // as sent; empty where there is none
  bool encrypted_hello = false;  // the encrypted_client_hello extension is there (grease included)
};

// Looks at what a client sent so far, from its first byte. The hello may be spread over several
// records and any number of reads. Bounded by the caller's limit on `bytes`; never reads past them.
ClientHello parse_client_hello(std::string_view bytes);

}  // namespace nono
