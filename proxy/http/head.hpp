#pragma once
// Request and response heads, parsed strictly (RFC 9110, RFC 9112) and editable before they go on.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "proxy/net/frame_pool.hpp"

namespace nono::http {

// One header field. Names compare without case (equal_name).
struct Field {
  std::string name;
  std::string value;  // without surrounding white space
};
bool equal_letters(std::string_view a, std::string_view b);  // of the same length, without case
inline bool equal_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && equal_letters(a, b);
}
using FieldList = std::vector<Field, PoolAllocator<Field>>;

// The fields of one message, in the order received.
class Fields {
 public:
  // The first value of `name`, or nullptr.
  const std::string* find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  void set(std::string_view name, std::string_view value);  // replaces all of that name
  void add(std::string_view name, std::string_view value);
  void erase(std::string_view name);
  FieldList& all() { return fields_; }
  const FieldList& all() const { return fields_; }

 private:
  FieldList fields_;
};

// How a message's body is delimited (RFC 9112 6).
struct Framing {
  enum class Kind : std::uint8_t { none, length, chunked, until_close };
  Kind kind = Kind::none;
  std::uint64_t length = 0;
};

struct RequestHead {
  std::string method;
  std::string target;  // exactly as received
  bool http_1_0 = false;
  Fields fields;  // without Content-Length and Transfer-Encoding: `framing` says it
  Framing framing;
  bool keep_alive = true;        // what the client asked for
  bool expect_continue = false;  // it waits for a 100 before it sends the body
};

struct ResponseHead {
  int status = 0;
  std::string reason;
  bool http_1_0 = false;
  Fields fields;    // Content-Length only where it is no framing: to HEAD, in a 304
  Framing framing;  // already takes the request's method and the status into account
  bool keep_alive = true;
};

struct HeadLimits {
  std::size_t head_bytes_max = 64 * 1024;
  std::size_t request_line_bytes_max = 8 * 1024;
  std::size_t fields_max = 100;
};

// Parses `bytes`, which must hold exactly one head up to and with its empty line. Refused as
// bad_request / bad_response: bare CR or LF, NUL and controls, obs-fold, white space before the
// colon, several or malformed Content-Length, Content-Length with Transfer-Encoding, codings other
// than a final single "chunked", duplicate Host, no Host in HTTP/1.1, an HTTP version other
// than 1.0 and 1.1, wrong target characters, a target of the wrong form for the method. Over a
// limit: head_too_large, or bad_response.
Result<RequestHead> parse_request_head(std::string_view bytes, const HeadLimits& limits);
Result<ResponseHead> parse_response_head(std::string_view bytes, const HeadLimits& limits,
                                         std::string_view request_method);

// Removes Connection and what it names, Keep-Alive, Proxy-Connection, Proxy-Authenticate,
// Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade (RFC 9110 7.6.1); framing is written
// anew by serialize(). Content-Length, where it is the framing, stays as framing and is not a
// field.
void remove_hop_by_hop(Fields& fields);

// The bytes of a head, framing fields and `Connection` added from `framing` and `keep_alive`.
std::string serialize(const RequestHead& head);
std::string serialize(const ResponseHead& head);

}  // namespace nono::http
