#pragma once
// Who sends a request: the session's token in Proxy-Authorization (RFC 9110 11.7.1).

#include <optional>
#include <string_view>

#include "config/base/secret.hpp"
#include "proxy/http/head.hpp"

namespace nono {

enum class Authentication : std::uint8_t { absent, right, wrong };

// Reads `Bearer TOKEN` and `Basic base64(anyuser:TOKEN)`; compares in constant time. Several
// fields, or one that cannot be read, are wrong.
Authentication authenticate(const http::RequestHead& head, const Secret& token);

}  // namespace nono
