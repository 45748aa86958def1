#pragma once
// The CA bundle that the child's TLS libraries are pointed at (SSL_CERT_FILE, REQUESTS_CA_BUNDLE,
// NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE, GIT_SSL_CAINFO).

#include <optional>
#include <string>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "proxy/intercept/ca.hpp"

namespace nono::intercept {

// Replaces the content of `file` (open for writing) with the parent's bundle where SSL_CERT_FILE
// names one, the system's roots, and our CA. A parent's bundle that does not exist is passed over,
// as OpenSSL does. Without a single root apart from ours it is an error: the child could then reach
// nothing but us.
Result<void> write_bundle(const UniqueFd& file, const CertificateAuthority& ca,
                          const std::optional<std::string>& parent_bundle);

}  // namespace nono::intercept
