#pragma once
// The error vocabulary: every expected failure is a value that says whose fault it is, what
// happened, and what to do about it.

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace nono {

// Whose fault an error is. Picks the status family (client 4xx, upstream 502/504, self 500/503)
// and the log level.
enum class Side : std::uint8_t { client, upstream, self };

// What went wrong, in the words that audit lines and refusal bodies use (see to_string).
enum class ErrorCode : std::uint8_t {
  bad_input,          // a flag, profile or config file does not parse or contradicts itself
  bad_request,        // malformed HTTP or TLS from the client
  head_too_large,     // fields over the limit
  target_too_long,    // the request line is over its own limit
  body_too_large,
  unauthorized,       // no or wrong session token
  refused,            // by policy
  misdirected,        // authority, SNI and Host disagree
  name_not_found,     // the DNS says that the name does not exist or has no address
  dns_failed,         // no server answered usefully
  dns_timeout,
  address_refused,    // every address of the name is in a class that is not allowed
  connect_failed,
  connect_timeout,    // TLS and a parent proxy's answer included
  parent_refused,     // by the user's own upstream proxy
  tls_failed,
  bad_response,       // the upstream's answer cannot be framed
  closed,             // the peer closed early
  timeout,            // a phase took longer than its limit
  read_timeout,       // what had begun to come stopped
  secret_missing,
  limit,              // a bound of ours was reached
  not_supported,      // this machine cannot do it
  io,                 // an operating system call failed
  internal,
};
std::string_view to_string(ErrorCode code);

// One failure. `what` is a sentence without a trailing full stop, naming the place; `fix` says what
// to do about it, or is empty. Neither ever holds a secret.
struct Error {
  Side side = Side::self;
  ErrorCode code = ErrorCode::internal;
  std::string what;
  std::string fix = {};
};

// Either a value or an Error. Data-path functions return this; only start-up may throw.
template <class T>
using Result = tl::expected<T, Error>;

// Shorthand for `return fail(...)` in functions that return Result<T>.
inline tl::unexpected<Error> fail(ErrorCode code, std::string what, std::string fix = {},
                                  Side side = Side::self) {
  return tl::unexpected<Error>(Error{side, code, std::move(what), std::move(fix)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

// An io error out of an errno value: "WHAT: strerror".
Error errno_error(int saved_errno, std::string_view what, Side side = Side::self);

}  // namespace nono
