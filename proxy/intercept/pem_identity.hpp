#pragma once
// A key and its certificates from the user's own PEM files: of an authority, or of a listener.

#include <string>

#include "config/base/error.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono::intercept {

// Reads the chain, leaf first, and the key; they must belong together. Errors (bad_input) name the
// file: missing, no PEM, an encrypted key, another certificate's key.
Result<ServerCertificate> read_identity(const std::string& certificate_file,
                                        const std::string& key_file);

// The same certificate whatever host is asked for: what a listener that speaks TLS shows.
class FileCertificate final : public CertificateSource {
 public:
  explicit FileCertificate(ServerCertificate certificate) : certificate_(std::move(certificate)) {}
  Result<const ServerCertificate*> certificate_for(const Host&) override { return &certificate_; }

 private:
  ServerCertificate certificate_;
};

}  // namespace nono::intercept
