#pragma once
// Where a message ends and whether its connection lives on (RFC 9112 6, 9.3), and what a client or
// upstream may not leave unclear about it. Private to proxy/http.

#include "proxy/http/head.hpp"

namespace nono::http {

// Sets `framing`, `keep_alive` and `expect_continue` out of the fields, and takes the fields that
// were about framing alone (Transfer-Encoding, Content-Length) out of them: from here on `framing`
// says it, once.
Result<void> frame_request(RequestHead& head);

// The same for a response to `request_method`. Where a response has no body whatever it says (HEAD,
// 304), its Content-Length stays a field, as information.
Result<void> frame_response(ResponseHead& head, std::string_view request_method);

}  // namespace nono::http
