#pragma once
// Heads as bytes, appended to what goes out in one write. Private to proxy/http.

#include <string>

#include "proxy/http/head.hpp"

namespace nono::http {

// What the Connection field says.
enum class ConnectionOption : std::uint8_t { none, close, keep_alive, upgrade };

enum class Version : std::uint8_t { http_1_0, http_1_1 };

// Appends the head with its framing and connection fields and the empty line, under `version`: a
// proxy sends its own (RFC 9112 2.3). `upgrade` is the protocol named where `option` is upgrade.
// CR, LF and NUL in a value become spaces, whoever put them there.
void append_head(std::string& out, const RequestHead& head, Version version,
                 ConnectionOption option, std::string_view upgrade = {});
void append_head(std::string& out, const ResponseHead& head, Version version,
                 ConnectionOption option, std::string_view upgrade = {});

// Appends the chunk-size line of a chunk of `size` bytes (RFC 9112 7.1).
void append_chunk_size(std::string& out, std::size_t size);

// Makes room for `bytes` in all, wiping what moves: a head may hold a real key, and freed memory
// should not.
void reserve_wiping(std::string& text, std::size_t bytes);

}  // namespace nono::http
