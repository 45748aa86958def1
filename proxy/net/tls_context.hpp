#pragma once
// What TLS connections of one kind share: trusted roots, offered versions, remembered sessions.
// RAII over OpenSSL's SSL_CTX; no OpenSSL header leaks from here. One of each per io_context
// thread.

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/host.hpp"

struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;
struct x509_st;

namespace nono {

struct FreeSslContext {
  void operator()(ssl_ctx_st* context) const noexcept;
};
using SslContextPtr = std::unique_ptr<ssl_ctx_st, FreeSslContext>;

struct FreeSslSession {
  void operator()(ssl_session_st* session) const noexcept;
};
using SslSessionPtr = std::unique_ptr<ssl_session_st, FreeSslSession>;

// Where the trusted roots of this system are, as OpenSSL programs find them.
struct SystemRoots {
  std::optional<std::string> file;  // SSL_CERT_FILE: a PEM bundle, in addition to the rest
  std::optional<std::string>
      directory;  // SSL_CERT_DIR, otherwise the system's: certificates under their
                  // subject's hash (c_rehash); several separated by ':'
  std::optional<std::string> bundle;  // the distribution's bundle; none where SSL_CERT_DIR is set
  // Reads the environment and looks which of the usual places exist; reads no certificate.
  static SystemRoots find();
};

// TLS towards upstreams: TLS 1.2 or later, chain and name verified, SNI, ALPN http/1.1. There is no
// way to switch verification off. Must outlive its streams; used on one thread.
class ClientTlsContext {
 public:
  // Checks that `extra_ca_files` exist and hold certificates (bad_input, naming the file). Roots
  // are loaded at the first connection: a bundle costs 17 ms, which a run without TLS need not pay.
  static Result<std::unique_ptr<ClientTlsContext>> make(
      const std::vector<std::string>& extra_ca_files);
  ~ClientTlsContext();
  ClientTlsContext(const ClientTlsContext&) = delete;
  ClientTlsContext& operator=(const ClientTlsContext&) = delete;

  // Sessions remembered for resumption; never shared between two identities or two targets.
  std::size_t remembered_sessions() const { return sessions_.size(); }
  static constexpr std::size_t sessions_max = 512;

 private:
  friend class TlsStream;
  explicit ClientTlsContext(SslContextPtr context) : context_(std::move(context)) {}
  Result<ssl_ctx_st*> ready();  // loads the roots once
  void remember(const std::string& key, SslSessionPtr session);
  SslSessionPtr recall(const std::string& key);  // taken out: a ticket is used once (RFC 8446 C.4)
  static int on_new_session(ssl_st* ssl, ssl_session_st* session);

  struct Remembered {
    SslSessionPtr session;
    std::list<std::string>::iterator age;
  };
  SslContextPtr context_;
  std::vector<std::string> extra_ca_files_;
  bool roots_loaded_ = false;
  std::unordered_map<std::string, Remembered> sessions_;
  std::list<std::string> by_age_;  // oldest first
};

// A key and the certificates that prove it, leaf first.
struct ServerCertificate {
  std::shared_ptr<evp_pkey_st> key;
  std::vector<std::shared_ptr<x509_st>> chain;
};

// Where a TLS server's certificates come from: minted per host (intercept::LeafCache) or files.
class CertificateSource {
 public:
  virtual ~CertificateSource() = default;
  // The pointer is good until the next call.
  virtual Result<const ServerCertificate*> certificate_for(const Host& host) = 0;
};

// TLS towards clients: TLS 1.2 or later, ALPN http/1.1 only, stateless session tickets. Must
// outlive its streams, and `source` must outlive it; used on one thread.
class ServerTlsContext {
 public:
  // `any_name`: what the client's hello asks for is not looked at; for a listener that is no
  // interception.
  static Result<std::unique_ptr<ServerTlsContext>> make(CertificateSource& source,
                                                        bool any_name = false);
  ServerTlsContext(const ServerTlsContext&) = delete;
  ServerTlsContext& operator=(const ServerTlsContext&) = delete;

 private:
  friend class TlsStream;
  ServerTlsContext(SslContextPtr context, CertificateSource& source)
      : context_(std::move(context)), source_(source) {}
  static int on_certificate(ssl_st* ssl, void* unused);
  SslContextPtr context_;
  CertificateSource& source_;
};

}  // namespace nono
