#pragma once
// The certificate authority of one run, and the leaves it mints. Its key is made in memory and
// never written anywhere.

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "config/base/error.hpp"
#include "config/base/host.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono::intercept {

// Immutable once made; may be shared between threads.
class CertificateAuthority {
 public:
  // A new P-256 key and a self-signed certificate, CN "nono session CA".
  static Result<std::shared_ptr<CertificateAuthority>> generate(
      std::chrono::hours validity = std::chrono::hours(24));
  // The user's own: --proxy-ca-cert and --proxy-ca-key. The first certificate in the file signs;
  // what follows it (its own issuers) is sent along. Errors (bad_input) name the file: unreadable,
  // not a CA, expired, key of another certificate, encrypted key.
  static Result<std::shared_ptr<CertificateAuthority>> from_pem_files(
      const std::string& certificate_file, const std::string& key_file);

  std::string certificate_pem() const;
  std::chrono::system_clock::time_point not_after() const { return not_after_; }

  // A certificate for `host` (SAN of type DNS or IP) with a key of its own, valid from an hour ago
  // (clients' clocks differ) for at most a day and never beyond the CA's end.
  Result<ServerCertificate> mint(const Host& host) const;

 private:
  CertificateAuthority() = default;
  ServerCertificate self_;  // chain[0] signs
  std::chrono::system_clock::time_point not_after_{};
};

// Minted leaves, the most recently used kept. One per io_context thread. A leaf near its end is
// minted anew.
class LeafCache final : public CertificateSource {
 public:
  explicit LeafCache(std::shared_ptr<const CertificateAuthority> ca, std::size_t leaves_max = 1024)
      : ca_(std::move(ca)), leaves_max_(leaves_max) {}
  Result<const ServerCertificate*> certificate_for(const Host& host) override;
  std::size_t size() const { return leaves_.size(); }

 private:
  struct Leaf {
    std::string host;
    ServerCertificate certificate;
    std::chrono::steady_clock::time_point renew_at;
  };
  std::shared_ptr<const CertificateAuthority> ca_;
  std::size_t leaves_max_;
  std::list<Leaf> by_use_;  // most recent first
  std::unordered_map<std::string, std::list<Leaf>::iterator> leaves_;
};

}  // namespace nono::intercept
