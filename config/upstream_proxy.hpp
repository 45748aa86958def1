#pragma once
// The proxy that our connections go through, as users write it.

#include <string>
#include <vector>

#include "config/config.hpp"

namespace nono {

// `text`: HOST:PORT or http://[USER:PASSWORD@]HOST:PORT; user and password may be percent-encoded.
// `bypass`: names,
// `*.parent`, addresses and ranges. Errors (bad_input) name the part, never the password.
Result<UpstreamProxy> parse_upstream_proxy(const std::string& text,
                                           const std::vector<std::string>& bypass);

// True where `host` is reached without the upstream proxy.
bool bypasses(const UpstreamProxy& proxy, const Host& host);

}  // namespace nono
