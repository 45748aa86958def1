#include "proxy/intercept/pem_identity.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "config/base/secret.hpp"
#include "proxy/intercept/files.hpp"

namespace nono::intercept {

namespace {

constexpr std::size_t file_bytes_max = 1024 * 1024;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;

BioPtr reader_of(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Never asks on the terminal: an encrypted key is an error.
int no_password(char*, int, int, void*) {
  return 0;
}

std::vector<std::shared_ptr<X509>> parse_certificates(const std::string& pem) {
  std::vector<std::shared_ptr<X509>> certificates;
  const BioPtr memory = reader_of(pem);
  while (X509* next = PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next, &X509_free);
  }
  ERR_clear_error();  // the end of the file is an error to OpenSSL
  return certificates;
}

}  // namespace

Result<ServerCertificate> read_identity(const std::string& certificate_file,
                                        const std::string& key_file) {
  auto certificate_pem = read_file(certificate_file, file_bytes_max);
  if (!certificate_pem) return fail(certificate_pem.error());
  auto key_pem = read_file(key_file, file_bytes_max);
  if (!key_pem) return fail(key_pem.error());
  ServerCertificate identity;
  const BioPtr memory = reader_of(*key_pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(memory.get(), nullptr, &no_password, nullptr);
  ERR_clear_error();
  wipe(key_pem->data(), key_pem->size());
  if (key == nullptr) {
    return fail(ErrorCode::bad_input, key_file + " holds no private key that can be read",
                "give a PEM file with an unencrypted key");
  }
  identity.key = std::shared_ptr<EVP_PKEY>(key, &EVP_PKEY_free);
  identity.chain = parse_certificates(*certificate_pem);
  if (identity.chain.empty()) {
    return fail(ErrorCode::bad_input, certificate_file + " holds no certificate",
                "give a PEM file");
  }
  if (X509_check_private_key(identity.chain.front().get(), key) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::bad_input,
                "the private key does not belong to the certificate in " + certificate_file);
  }
  return identity;
}

}  // namespace nono::intercept
