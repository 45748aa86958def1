#pragma once
// SOCKS5 as bytes (RFC 1928) with its password negotiation (RFC 1929): pure parsers of what a
// client sends, and the answers.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/host.hpp"

namespace nono::socks5 {

inline constexpr char version = 5;

// Each parser is given everything received and says nothing while more is needed; no message is
// longer than 515 bytes. `size`: how many bytes the message had. Errors: bad_request, side client.

struct Greeting {
  std::size_t size = 0;
  bool offers_none = false;      // method 0x00
  bool offers_password = false;  // method 0x02
};
Result<std::optional<Greeting>> parse_greeting(std::string_view bytes);

// Views into `bytes`.
struct Password {
  std::size_t size = 0;
  std::string_view user, password;
};
Result<std::optional<Password>> parse_password(std::string_view bytes);

// RFC 1928 6.
enum class Reply : std::uint8_t {
  succeeded = 0,
  general_failure = 1,
  not_allowed = 2,
  host_unreachable = 4,
  connection_refused = 5,
  ttl_expired = 6,
  command_not_supported = 7,
  address_type_not_supported = 8,
};

struct Request {
  std::size_t size = 0;
  bool is_connect = false;         // BIND and UDP ASSOCIATE are not served
  std::optional<HostPort> target;  // none: an address type that nobody defined, or port 0
};
// A name with NUL, a control character or anything else that is no part of a host is an error.
Result<std::optional<Request>> parse_request(std::string_view bytes);

enum class Method : std::uint8_t { none = 0, password = 2, unacceptable = 0xff };
std::string method_answer(Method method);
std::string password_answer(bool right);
// With the unspecified address as the bound one: it is the proxy's own business.
std::string reply_answer(Reply reply);

}  // namespace nono::socks5
