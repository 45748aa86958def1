// ClientHellos: the verdict on a beginning never changes with what follows, records may be cut
// anywhere, and a server (OpenSSL's) never takes another name out of a hello than we did.
#include <openssl/ssl.h>

#include <memory>

#include "proxy/net/client_hello.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono::fuzz;
using nono::ClientHello;
using nono::parse_client_hello;
using State = ClientHello::State;

struct Seen {
  bool hello = false, named = false;
  std::string name;
};

int on_hello(SSL*, int*, void* seen) {
  static_cast<Seen*>(seen)->hello = true;
  return SSL_CLIENT_HELLO_SUCCESS;
}

int on_name(SSL* ssl, int*, void* seen) {
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
    static_cast<Seen*>(seen)->named = true;
    static_cast<Seen*>(seen)->name = name;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;  // far enough
}

Seen serve(std::string_view bytes) {
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
  static const Context context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  Seen seen;
  SSL_CTX_set_client_hello_cb(context.get(), on_hello, &seen);
  SSL_CTX_set_tlsext_servername_callback(context.get(), on_name);
  SSL_CTX_set_tlsext_servername_arg(context.get(), &seen);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
  BIO* in = BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()));
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl.get(), in, BIO_new(BIO_s_mem()));
  SSL_accept(ssl.get());
  return seen;
}

bool same(const ClientHello& a, const ClientHello& b) {
  return a.state == b.state && a.server_name == b.server_name &&
         a.encrypted_hello == b.encrypted_hello;
}

void expect_stable(std::string_view bytes, const ClientHello& whole) {
  bool decided = false;
  for (std::size_t size = 0; size <= bytes.size();
       size += size < 64 || size + 64 > bytes.size() ? 1 : 61) {
    const ClientHello part = parse_client_hello(bytes.substr(0, size));
    if (decided) expect(part.state != State::incomplete);
    decided = part.state != State::incomplete;
    if (decided) expect(same(part, whole));
  }
}

// The message of a hello that lies in whole records, nothing behind them.
std::string message_of(std::string_view bytes) {
  std::string message;
  while (bytes.size() >= 5) {
    const auto size = static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[3]) << 8 |
                                               static_cast<std::uint8_t>(bytes[4]));
    message += bytes.substr(5, size);
    bytes.remove_prefix(std::min(bytes.size(), size + 5));
  }
  return message;
}

std::string in_records(std::string_view message, std::uint8_t seed) {
  std::string bytes;
  for (const std::string_view piece : split(message, seed)) {
    bytes += {'\x16', '\x03', '\x01', static_cast<char>(piece.size() >> 8),
              static_cast<char>(piece.size() & 0xff)};
    bytes += piece;
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint8_t seed = input.byte();
  const std::string_view bytes = input.rest();
  const ClientHello whole = parse_client_hello(bytes);
  expect_stable(bytes, whole);
  const Seen seen = serve(bytes);
  if (seen.named) expect(whole.state == State::malformed || whole.server_name == seen.name);
  if (seen.hello) expect(whole.state == State::complete || whole.state == State::malformed);
  if (whole.state != State::complete) {
    expect(whole.server_name.empty() || whole.state == State::malformed);
    return 0;
  }
  if (bytes.front() != '\x16') {  // the format of SSL 2: no records, no room for a name
    expect(whole.server_name.empty() && !whole.encrypted_hello);
    return 0;
  }
  const std::string message = message_of(bytes);
  if (message.size() < 16'000) expect(same(parse_client_hello(in_records(message, seed)), whole));
  return 0;
}
