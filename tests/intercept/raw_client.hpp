#pragma once
// A TLS client as others write them: OpenSSL, blocking, on a thread of its own.

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <string>
#include <thread>

#include "config/base/fd.hpp"

namespace nono::test {

struct RawClient {
  std::string sni;      // empty: none
  std::string alpn;     // as ALPN lists it: "\x02h2"
  int version_max = 0;  // 0: any
  std::string ca_file;  // empty: does not verify
  bool connected = false;
  std::string agreed;  // ALPN
  std::string error;   // OpenSSL's reason

  // Takes the descriptor; call on a thread, results are there when it has ended.
  void run(int descriptor) {
    const UniqueFd fd(descriptor);
    const timeval limit{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    if (version_max != 0) {
      SSL_CTX_set_security_level(context, 0);  // old versions need old digests
      SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context, version_max);
    }
    if (!ca_file.empty()) {
      SSL_CTX_load_verify_file(context, ca_file.c_str());
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    }
    SSL* ssl = SSL_new(context);
    if (!sni.empty())
      SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni.data());
    if (!alpn.empty()) {
      SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()),
                          static_cast<unsigned>(alpn.size()));
    }
    SSL_set_fd(ssl, fd.get());
    ERR_clear_error();
    connected = SSL_connect(ssl) == 1;
    char byte = 0;
    if (connected) SSL_read(ssl, &byte, 1);  // an alert may follow a TLS 1.3 handshake
    const char* reason = ERR_reason_error_string(ERR_get_error());
    if (reason != nullptr) error = reason;
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &size);
    agreed.assign(reinterpret_cast<const char*>(chosen), size);
    if (connected) SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
};

}  // namespace nono::test
