#include "config/base/error.hpp"

#include <fmt/format.h>

#include <system_error>

namespace nono {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::bad_input:
      return "bad_input";
    case ErrorCode::bad_request:
      return "bad_request";
    case ErrorCode::head_too_large:
      return "head_too_large";
    case ErrorCode::target_too_long:
      return "target_too_long";
    case ErrorCode::body_too_large:
      return "body_too_large";
    case ErrorCode::unauthorized:
      return "unauthorized";
    case ErrorCode::refused:
      return "refused";
    case ErrorCode::misdirected:
      return "misdirected";
    case ErrorCode::name_not_found:
      return "name_not_found";
    case ErrorCode::dns_failed:
      return "dns_failed";
    case ErrorCode::dns_timeout:
      return "dns_timeout";
    case ErrorCode::address_refused:
      return "address_refused";
    case ErrorCode::connect_failed:
      return "connect_failed";
    case ErrorCode::connect_timeout:
      return "connect_timeout";
    case ErrorCode::parent_refused:
      return "parent_refused";
    case ErrorCode::tls_failed:
      return "tls_failed";
    case ErrorCode::bad_response:
      return "bad_response";
    case ErrorCode::closed:
      return "closed";
    case ErrorCode::timeout:
      return "timeout";
    case ErrorCode::read_timeout:
      return "read_timeout";
    case ErrorCode::secret_missing:
      return "secret_missing";
    case ErrorCode::limit:
      return "limit";
    case ErrorCode::not_supported:
      return "not_supported";
    case ErrorCode::io:
      return "io";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

Error errno_error(int saved_errno, std::string_view what, Side side) {
  // std::generic_category is strerror without its shared buffer.
  return Error{side, ErrorCode::io,
               fmt::format("{}: {}", what, std::generic_category().message(saved_errno))};
}

}  // namespace nono
