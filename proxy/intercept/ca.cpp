#include "proxy/intercept/ca.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>

#include "config/base/secret.hpp"
#include "proxy/intercept/pem_identity.hpp"
#include "config/base/random.hpp"

namespace nono::intercept {

namespace {

constexpr std::chrono::hours clock_slack{1};
constexpr std::chrono::hours leaf_validity{24};
constexpr std::size_t common_name_max = 64;  // RFC 5280 A.1, ub-common-name

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* object) const noexcept {
    free_function(object);
  }
};
using X509Ptr = std::unique_ptr<X509, Free<&X509_free>>;
using BioPtr = std::unique_ptr<BIO, Free<&BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Free<&X509_EXTENSION_free>>;

std::shared_ptr<X509> shared(X509Ptr certificate) {
  return std::shared_ptr<X509>(certificate.release(), &X509_free);
}
std::shared_ptr<EVP_PKEY> shared(EVP_PKEY* key) {
  return std::shared_ptr<EVP_PKEY>(key, &EVP_PKEY_free);
}

tl::unexpected<Error> crypto_failure(std::string_view doing) {
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  std::string what(doing);
  if (reason != nullptr) what.append(": ").append(reason);
  return fail(ErrorCode::internal, std::move(what));
}

bool set_times(X509* certificate, std::chrono::system_clock::time_point not_after) {
  const std::time_t from =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() - clock_slack);
  const std::time_t until = std::chrono::system_clock::to_time_t(not_after);
  return ASN1_TIME_set(X509_getm_notBefore(certificate), from) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), until) != nullptr;
}

// 127 random bits, so that no two certificates of any runs share issuer and serial.
bool set_random_serial(X509* certificate) {
  std::array<unsigned char, 16> bytes{};
  if (!fill_random(bytes)) return false;
  bytes[0] &= 0x7f;
  bytes[0] |= 0x40;  // positive and always of one length
  const std::unique_ptr<BIGNUM, Free<&BN_free>> number(
      BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_common_name(X509* certificate, std::string_view name) {
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool sign(X509* certificate, EVP_PKEY* key) {
  const int kind = EVP_PKEY_get_base_id(key);
  const bool digest_inside = kind == EVP_PKEY_ED25519 || kind == EVP_PKEY_ED448;
  return X509_sign(certificate, key, digest_inside ? nullptr : EVP_sha256()) > 0;
}

std::chrono::system_clock::time_point to_time_point(const ASN1_TIME* time) {
  std::tm broken_down{};
  ASN1_TIME_to_tm(time, &broken_down);
  return std::chrono::system_clock::from_time_t(::timegm(&broken_down));
}

X509Ptr make_root(EVP_PKEY* key, std::chrono::system_clock::time_point not_after) {
  X509Ptr root(X509_new());
  X509* raw = root.get();
  const bool done =
      raw != nullptr && X509_set_version(raw, X509_VERSION_3) == 1 && set_random_serial(raw) &&
      set_times(raw, not_after) && set_common_name(raw, "nono-session-ca") &&
      X509_set_issuer_name(raw, X509_get_subject_name(raw)) == 1 &&
      X509_set_pubkey(raw, key) == 1 &&
      add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
      add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature") &&
      add_extension(raw, raw, NID_subject_key_identifier, "hash") && sign(raw, key);
  if (!done) root.reset();
  return root;
}

bool describe_host(X509* leaf, X509* issuer, const Host& host) {
  const std::string text = host.to_string();
  const bool named = text.size() <= common_name_max;
  if (named && !set_common_name(leaf, text)) return false;
  std::string names =
      named ? "" : "critical,";  // RFC 5280 4.2.1.6: critical where there is no subject
  names += host.is_name() ? "DNS:" : "IP:";
  names += text;
  return add_extension(leaf, issuer, NID_subject_alt_name, names);
}

std::string to_pem(X509* certificate) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  if (!memory || PEM_write_bio_X509(memory.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<void> check_ca(X509* certificate, const std::string& file) {
  if (X509_check_ca(certificate) != 1 ||
      (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) == 0) {
    return fail(ErrorCode::bad_input, file + " holds no certificate authority",
                "its certificate needs CA:TRUE and the key usage keyCertSign");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return fail(ErrorCode::bad_input, "the certificate in " + file + " has expired");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return fail(ErrorCode::bad_input, "the certificate in " + file + " is not valid yet");
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<CertificateAuthority>> CertificateAuthority::generate(
    std::chrono::hours validity) {
  std::shared_ptr<CertificateAuthority> ca(new CertificateAuthority);
  ca->not_after_ = std::chrono::system_clock::now() + validity;
  ca->self_.key = shared(EVP_EC_gen("P-256"));
  if (!ca->self_.key) return crypto_failure("cannot make a key for the session's CA");
  X509Ptr root = make_root(ca->self_.key.get(), ca->not_after_);
  if (!root) return crypto_failure("cannot make the session's CA");
  ca->self_.chain.push_back(shared(std::move(root)));
  return ca;
}

Result<std::shared_ptr<CertificateAuthority>> CertificateAuthority::from_pem_files(
    const std::string& certificate_file, const std::string& key_file) {
  auto identity = read_identity(certificate_file, key_file);
  if (!identity) return fail(identity.error());
  std::shared_ptr<CertificateAuthority> ca(new CertificateAuthority);
  ca->self_ = std::move(*identity);
  X509* signer = ca->self_.chain.front().get();
  auto usable = check_ca(signer, certificate_file);
  if (!usable) return fail(usable.error());
  ca->not_after_ = to_time_point(X509_get0_notAfter(signer));
  return ca;
}

std::string CertificateAuthority::certificate_pem() const {
  std::string pem;
  for (const auto& certificate : self_.chain) pem += to_pem(certificate.get());
  return pem;
}

Result<ServerCertificate> CertificateAuthority::mint(const Host& host) const {
  const auto now = std::chrono::system_clock::now();
  if (now >= not_after_) {
    return fail(ErrorCode::tls_failed, "the session's certificate authority has expired",
                "start nono again, with a longer validity if need be");
  }
  ServerCertificate minted;
  minted.key = shared(EVP_EC_gen("P-256"));
  X509Ptr leaf(X509_new());
  X509* raw = leaf.get();
  X509* issuer = self_.chain.front().get();
  const auto not_after =
      std::min<std::chrono::system_clock::time_point>(now + leaf_validity, not_after_);
  const bool done = minted.key && raw != nullptr && X509_set_version(raw, X509_VERSION_3) == 1 &&
                    set_random_serial(raw) && set_times(raw, not_after) &&
                    X509_set_issuer_name(raw, X509_get_subject_name(issuer)) == 1 &&
                    X509_set_pubkey(raw, minted.key.get()) == 1 &&
                    describe_host(raw, issuer, host) &&
                    add_extension(raw, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(raw, issuer, NID_key_usage, "critical,digitalSignature") &&
                    add_extension(raw, issuer, NID_ext_key_usage, "serverAuth") &&
                    add_extension(raw, issuer, NID_subject_key_identifier, "hash") &&
                    add_extension(raw, issuer, NID_authority_key_identifier, "keyid") &&
                    sign(raw, self_.key.get());
  if (!done) return crypto_failure("cannot make a certificate for " + host.to_string());
  minted.chain.push_back(shared(std::move(leaf)));
  // Clients have the root; issuers between it and us they may not.
  for (const auto& certificate : self_.chain) {
    if (X509_self_signed(certificate.get(), 0) != 1) minted.chain.push_back(certificate);
  }
  return minted;
}

}  // namespace nono::intercept
