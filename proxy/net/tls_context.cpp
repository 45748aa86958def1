#include "proxy/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <string_view>

#include "proxy/net/tls_link.hpp"

namespace nono {

namespace {

// Cheapest first: AES-128-GCM is what both legs of an interception spend most of their time on. A
// client without AES instructions that prefers ChaCha20 gets it.
constexpr const char* cipher_suites_1_3 =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
constexpr const char* ciphers_1_2 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
constexpr std::string_view http_1_1 = "\x08http/1.1";  // as ALPN lists it, length first
constexpr long session_seconds = 3600;
// Four full records of TLS 1.3 (RFC 8446 5.2: header, type and tag around 16 KiB) and what OpenSSL
// leaves free to align them: no more, or a receive brings a piece of a record that has to be moved.
// Given back when empty.
constexpr std::size_t read_buffer_bytes = std::size_t{4} * (5 + 16 * 1024 + 1 + 16) + 3;

tl::unexpected<Error> context_failure() {
  const std::string reason = tls_reason(ERR_get_error());
  ERR_clear_error();
  return fail(ErrorCode::internal, "cannot set up TLS: " + reason);
}

// What both ends have in common. Idle streams give their buffers back; records are read with as few
// system calls as possible; what was negotiated stays.
bool set_up(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, read_buffer_bytes);
  SSL_CTX_set_timeout(context, session_seconds);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_ciphersuites(context, cipher_suites_1_3) == 1 &&
         SSL_CTX_set_cipher_list(context, ciphers_1_2) == 1;
}

Result<void> check_ca_file(const std::string& path) {
  const std::string fix = "--upstream-ca wants a PEM file of certificates";
  const std::unique_ptr<BIO, int (*)(BIO*)> file(BIO_new_file(path.c_str(), "r"), &BIO_free);
  ERR_clear_error();
  if (!file) return fail(ErrorCode::bad_input, "cannot read the CA file " + path, fix);
  const std::unique_ptr<X509, void (*)(X509*)> first(
      PEM_read_bio_X509_AUX(file.get(), nullptr, nullptr, nullptr), &X509_free);
  ERR_clear_error();
  if (!first) return fail(ErrorCode::bad_input, path + " holds no certificate", fix);
  return {};
}

// The name in a ClientHello, read from the extension itself: OpenSSL's own getter answers with the
// session's name when a session is resumed. Nothing where there is none; "" where it cannot be
// read.
std::optional<std::string_view> server_name(SSL* ssl) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1) {
    return std::nullopt;
  }
  // RFC 6066 3: list length, then type 0, name length, name; one name only.
  constexpr std::size_t header = 5;
  if (size <= header || data[2] != TLSEXT_NAMETYPE_host_name) return std::string_view();
  const std::size_t list = data[0] * 256U + data[1], length = data[3] * 256U + data[4];
  if (list != size - 2 || length != size - header) return std::string_view();
  return std::string_view(reinterpret_cast<const char*>(data) + header, length);
}

bool agrees(std::optional<std::string_view> name, const Host& expected) {
  if (!name) return !expected.is_name();
  const Result<Host> host = parse_host(*name);
  return host && *host == expected;
}

int on_client_hello(SSL* ssl, int* alert, void*) {
  TlsLink& link = link_of(ssl);
  const auto name = server_name(ssl);
  if (agrees(name, *link.expected)) return SSL_CLIENT_HELLO_SUCCESS;
  std::string what = "the client asked to reach " + link.expected->to_string() + ", but its TLS ";
  const Result<Host> host = parse_host(name.value_or(""));
  if (!name) {
    what += "hello names no server";
  } else {
    what += "hello names " + (host ? host->to_string() : std::string("no valid server"));
  }
  link.refusal = Error{Side::client, ErrorCode::misdirected, std::move(what), {}};
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_CLIENT_HELLO_ERROR;
}

int on_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
            const unsigned char* offered, unsigned int offered_size, void*) {
  std::string_view rest(reinterpret_cast<const char*>(offered), offered_size);
  while (!rest.empty()) {
    const std::size_t size = 1 + static_cast<unsigned char>(rest.front());
    if (rest.substr(0, size) == http_1_1) {
      *chosen = reinterpret_cast<const unsigned char*>(rest.data()) + 1;
      *chosen_size = static_cast<unsigned char>(size - 1);
      return SSL_TLSEXT_ERR_OK;
    }
    rest.remove_prefix(std::min(size, rest.size()));
  }
  link_of(ssl).refusal = Error{Side::client,
                               ErrorCode::tls_failed,
                               "the client does not offer HTTP/1.1, and intercepted connections "
                               "speak nothing else",
                               {}};
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

void FreeSslContext::operator()(ssl_ctx_st* context) const noexcept {
  SSL_CTX_free(context);
}
void FreeSslSession::operator()(ssl_session_st* session) const noexcept {
  SSL_SESSION_free(session);
}

Result<std::unique_ptr<ClientTlsContext>> ClientTlsContext::make(
    const std::vector<std::string>& extra_ca_files) {
  for (const std::string& file : extra_ca_files) {
    auto checked = check_ca_file(file);
    if (!checked) return fail(checked.error());
  }
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context || !set_up(context.get())) return context_failure();
  SSL_CTX* raw = context.get();
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  // A certificate that the user trusts is trusted, root or not.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(raw), X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(raw), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (SSL_CTX_set_alpn_protos(raw, reinterpret_cast<const unsigned char*>(http_1_1.data()),
                              static_cast<unsigned>(http_1_1.size())) != 0) {
    return context_failure();
  }
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(raw, &ClientTlsContext::on_new_session);
  std::unique_ptr<ClientTlsContext> made(new ClientTlsContext(std::move(context)));
  made->extra_ca_files_ = extra_ca_files;
  return made;
}

ClientTlsContext::~ClientTlsContext() = default;

Result<ssl_ctx_st*> ClientTlsContext::ready() {
  if (roots_loaded_) return context_.get();
  X509_STORE* store = SSL_CTX_get_cert_store(context_.get());
  const SystemRoots roots = SystemRoots::find();
  bool any = false;
  const auto load_file = [&](const std::string& file) {
    any = X509_STORE_load_file(store, file.c_str()) == 1 || any;
  };
  if (roots.file) load_file(*roots.file);
  if (roots.directory) {
    any = X509_STORE_load_path(store, roots.directory->c_str()) == 1 || any;
  } else if (roots.bundle) {
    load_file(*roots.bundle);
  }
  for (const std::string& file : extra_ca_files_) load_file(file);
  ERR_clear_error();
  if (!any) {
    return fail(ErrorCode::tls_failed, "no trusted root certificates were found on this system",
                "install ca-certificates, or name your own with --upstream-ca FILE");
  }
  roots_loaded_ = true;
  return context_.get();
}

int ClientTlsContext::on_new_session(ssl_st* ssl, ssl_session_st* session) {
  TlsLink& link = link_of(ssl);
  link.client->remember(link.session_key, SslSessionPtr(session));
  return 1;  // the reference is ours now
}

void ClientTlsContext::remember(const std::string& key, SslSessionPtr session) {
  const auto known = sessions_.find(key);
  if (known != sessions_.end()) {
    known->second.session = std::move(session);
    by_age_.splice(by_age_.end(), by_age_, known->second.age);
    return;
  }
  by_age_.push_back(key);
  sessions_.emplace(key, Remembered{std::move(session), std::prev(by_age_.end())});
  if (sessions_.size() > sessions_max) {
    sessions_.erase(by_age_.front());
    by_age_.pop_front();
  }
}

SslSessionPtr ClientTlsContext::recall(const std::string& key) {
  const auto known = sessions_.find(key);
  if (known == sessions_.end()) return nullptr;
  SslSessionPtr session = std::move(known->second.session);
  by_age_.erase(known->second.age);
  sessions_.erase(known);
  return session;
}

Result<std::unique_ptr<ServerTlsContext>> ServerTlsContext::make(CertificateSource& source,
                                                                 bool any_name) {
  SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context || !set_up(context.get())) return context_failure();
  SSL_CTX* raw = context.get();
  if (!any_name) SSL_CTX_set_client_hello_cb(raw, &on_client_hello, nullptr);
  SSL_CTX_set_alpn_select_cb(raw, &on_alpn, nullptr);
  SSL_CTX_set_cert_cb(raw, &ServerTlsContext::on_certificate, nullptr);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets keep the state at the client
  SSL_CTX_set_num_tickets(raw, 1);
  return std::unique_ptr<ServerTlsContext>(new ServerTlsContext(std::move(context), source));
}

// Only asked in a full handshake: a resumed one shows no certificate, so none is minted for it.
int ServerTlsContext::on_certificate(ssl_st* ssl, void*) {
  TlsLink& link = link_of(ssl);
  const auto found = link.server->source_.certificate_for(*link.expected);
  if (!found) {
    link.refusal = found.error();
    return 0;
  }
  const ServerCertificate& certificate = **found;
  bool used = SSL_use_certificate(ssl, certificate.chain.front().get()) == 1 &&
              SSL_use_PrivateKey(ssl, certificate.key.get()) == 1;
  for (std::size_t i = 1; used && i < certificate.chain.size(); ++i) {
    used = SSL_add1_chain_cert(ssl, certificate.chain[i].get()) == 1;
  }
  return used ? 1 : 0;
}

}  // namespace nono
