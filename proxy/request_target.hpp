#pragma once
// Where a request says that it goes, and whether all that it says of it agrees.

#include <optional>
#include <string>
#include <string_view>

#include "proxy/http/head.hpp"
#include "proxy/refuse.hpp"

namespace nono {

struct AbsoluteTarget {
  HostPort authority;
  std::string path;          // origin form
  std::string_view written;  // the authority in the head's words
};

// An authority that was read before: in the same words it is not read again.
struct ReadAuthority {
  std::string written;
  HostPort read;
};

// The parts of `http://host:port/path`. `before` may be null. Errors, side client: bad_request.
Result<AbsoluteTarget> parse_absolute(const http::RequestHead& head,
                                      const ReadAuthority* before = nullptr);

// As a Host field has it: without the port where that is the default.
std::string authority_text(const HostPort& target, Port default_port);

// RFC 9112 3.2.2: the target's authority and Host must be the same place.
bool host_agrees(const http::RequestHead& head, const HostPort& target, Port default_port);

// Of a CONNECT: some clients (node's http.request) name the proxy itself in Host. Nothing of the
// field goes anywhere, so that is no disagreement: `own_port` is the one they connected to.
bool host_is_proxy(const http::RequestHead& head, std::uint16_t own_port);

Problem mismatch(const http::RequestHead& head, const HostPort& target);
Problem bad_target(std::string detail, std::string fix);

// The upstream's path for what follows `/<credential>` in the reverse form. Nothing where dot
// segments, in whatever spelling, would lead out of `base_path`.
std::optional<std::string> reverse_path(const std::string& base_path, std::string_view rest);

}  // namespace nono
