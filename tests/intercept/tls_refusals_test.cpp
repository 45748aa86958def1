// Handshakes that must not succeed.
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>

#include "tests/intercept/environment.hpp"
#include "tests/intercept/raw_client.hpp"
#include "tests/intercept/tls_ends.hpp"

using namespace nono;
using namespace nono::test;

namespace {

// Self-signed for "api.test", valid between two offsets from now in seconds.
ServerCertificate self_signed(long from, long until) {
  ServerCertificate made;
  made.key = std::shared_ptr<EVP_PKEY>(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  std::shared_ptr<X509> certificate(X509_new(), &X509_free);
  X509* raw = certificate.get();
  X509_set_version(raw, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(raw), 7);
  X509_gmtime_adj(X509_getm_notBefore(raw), from);
  X509_gmtime_adj(X509_getm_notAfter(raw), until);
  const auto* text = reinterpret_cast<const unsigned char*>("api.test");
  X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8, text, -1, -1, 0);
  X509_set_issuer_name(raw, X509_get_subject_name(raw));
  X509_set_pubkey(raw, made.key.get());
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:api.test");
  X509_add_ext(raw, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(raw, made.key.get(), EVP_sha256());
  made.chain.push_back(certificate);
  return made;
}

std::string pem(const ServerCertificate& certificate) {
  BIO* memory = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(memory, certificate.chain.front().get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(memory);
  return text;
}

// What connecting to "api.test" says of an upstream with this certificate, trusted or not.
Error refused_upstream(const ServerCertificate& certificate, bool trusted) {
  Loop loop;
  Trusting trusting;
  FixedCertificate source(certificate);
  auto server = *ServerTlsContext::make(source);
  const std::string file = trusting.folder.write("own.pem", pem(certificate));
  auto client = *ClientTlsContext::make({trusted ? file : trusting.ca_file});
  const Host host = name("api.test");
  auto [connected_to, accepted] = shake(loop, *client, *server, host, host);
  REQUIRE_FALSE(connected_to);
  CHECK_FALSE(accepted);
  CHECK(connected_to.error().side == Side::upstream);
  CHECK(connected_to.error().code == ErrorCode::tls_failed);
  CHECK(client->remembered_sessions() == 0);
  return connected_to.error();
}

// What accepting says of a client, expecting "api.test".
Result<StreamPtr> accept_raw(Trusting& trusting, RawClient& client, const Host& expected) {
  Loop loop;
  auto [near, far] = loop.sockets();
  std::thread thread([&client, fd = near.release()] { client.run(fd); });
  auto far_stream = loop.stream(std::move(far));
  far_stream->expires_after(10s);
  auto accepted = loop.start(accept_from(std::move(far_stream), *trusting.server, expected));
  loop.run();
  Result<StreamPtr> result = std::move(**accepted);
  if (result) (*result)->close();
  thread.join();
  if (result) return StreamPtr();
  return result;
}

Awaitable<Result<void>> say(TcpStream& stream, std::string text) {
  auto written = co_await stream.write_all(text);
  co_return written;
}

}  // namespace

TEST_CASE("an upstream that nobody vouches for is refused, with the flag that would trust it") {
  const Error error = refused_upstream(self_signed(-3600, 3600), false);
  CHECK(error.what.find("certificate of api.test is not trusted: ") == 0);
  CHECK(error.fix.find("--upstream-ca FILE") != std::string::npos);

  Loop loop;
  Trusting ours, theirs;
  const Host host = name("api.test");
  auto [client, server] = shake(loop, *ours.client, *theirs.server, host, host);
  REQUIRE_FALSE(client);
  CHECK(client.error().what.find("unable to get local issuer certificate") != std::string::npos);
  REQUIRE_FALSE(server);
  CHECK(server.error().side == Side::client);
}

TEST_CASE("an upstream whose certificate is outside its time is refused") {
  CHECK(refused_upstream(self_signed(-7200, -3600), true).what ==
        "certificate of api.test has expired");
  CHECK(refused_upstream(self_signed(3600, 7200), true).what ==
        "certificate of api.test is not valid yet");
}

TEST_CASE("an upstream with another's certificate is refused") {
  Loop loop;
  Trusting trusting;
  FixedCertificate other(*trusting.ca->mint(name("other.test")));
  auto server = *ServerTlsContext::make(other);
  for (const Host& host : {Host(name("api.test")), Host(*IpAddress::parse("127.0.0.1"))}) {
    auto [client, accepted] = shake(loop, *trusting.client, *server, host, host);
    REQUIRE_FALSE(client);
    CHECK(client.error().what.find(" is for another name: ") != std::string::npos);
    CHECK_FALSE(accepted);
  }
}

TEST_CASE("a client that names another server than it asked for is misdirected") {
  Trusting trusting;
  for (const std::string sni :
       {"evil.test", "xapi.test", "api.test.evil.test", "", "..", "1.2.3.4"}) {
    RawClient client;
    client.sni = sni;
    const auto result = accept_raw(trusting, client, name("api.test"));
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::misdirected);
    CHECK(result.error().side == Side::client);
    CHECK(result.error().what.find("api.test") != std::string::npos);
    CHECK_FALSE(client.connected);
    CHECK(client.error.find("unrecognized name") != std::string::npos);  // the alert arrives
  }
  RawClient to_address;
  to_address.sni = "api.test";
  CHECK(accept_raw(trusting, to_address, *IpAddress::parse("127.0.0.1")).error().code ==
        ErrorCode::misdirected);
  CHECK(trusting.leaves.size() == 0);  // nothing is minted for them
}

TEST_CASE("case and a trailing dot do not make another name") {
  Trusting trusting;
  for (const std::string sni : {"API.Test", "api.test."}) {
    RawClient client;
    client.sni = sni;
    CHECK(accept_raw(trusting, client, name("api.test")));
    CHECK(client.connected);
  }
}

TEST_CASE("a client may leave ALPN out, but not offer only what we do not speak") {
  Trusting trusting;
  RawClient silent;
  silent.sni = "api.test";
  CHECK(accept_raw(trusting, silent, name("api.test")));
  RawClient both;
  both.sni = "api.test";
  both.alpn = "\x02h2\x08http/1.1";
  CHECK(accept_raw(trusting, both, name("api.test")));
  CHECK(both.agreed == "http/1.1");
  RawClient h2;
  h2.sni = "api.test";
  h2.alpn = "\x02h2";
  const auto result = accept_raw(trusting, h2, name("api.test"));
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::tls_failed);
  CHECK_FALSE(h2.connected);
}

TEST_CASE("a client with TLS 1.1 is refused, with 1.2 accepted") {
  Trusting trusting;
  RawClient old;
  old.sni = "api.test";
  old.version_max = TLS1_1_VERSION;
  const auto result = accept_raw(trusting, old, name("api.test"));
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::tls_failed);
  RawClient newer;
  newer.sni = "api.test";
  newer.version_max = TLS1_2_VERSION;
  CHECK(accept_raw(trusting, newer, name("api.test")));
}

TEST_CASE("a client that does not trust us is told about the bundle") {
  Trusting ours, theirs;
  RawClient client;
  client.sni = "api.test";
  client.ca_file = theirs.ca_file;
  const auto result = accept_raw(ours, client, name("api.test"));
  REQUIRE_FALSE(result);
  CHECK(result.error().what == "the client does not trust nono's certificate for api.test");
  CHECK(result.error().fix.find("SSL_CERT_FILE") != std::string::npos);
}

TEST_CASE("a client that does not speak TLS is a bad request") {
  for (const std::string text :
       {"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
        "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"}) {
    Loop loop;
    Trusting trusting;
    auto [near, far] = loop.streams();
    auto accepted =
        loop.start(accept_from(std::move(far), *trusting.server, Host(name("api.test"))));
    auto said = loop.start(say(*near, text));
    loop.until([&] { return bool(*said); });
    REQUIRE(near->is_open());
    auto ended = loop.start(near->shutdown_send());
    loop.run();
    REQUIRE_FALSE(**accepted);
    CHECK((**accepted).error().code == ErrorCode::bad_request);
    CHECK((**accepted).error().side == Side::client);
  }
}

TEST_CASE("an upstream that does not speak TLS is named") {
  Loop loop;
  Trusting trusting;
  auto [near, far] = loop.streams();
  auto answered = loop.start(say(*far, "HTTP/1.1 400 Bad Request\r\n\r\n"));
  auto client = loop.start(
      connect_to(std::move(near), *trusting.client, HostPort{name("api.test"), https_port}, "me"));
  loop.run();
  REQUIRE_FALSE(**client);
  CHECK((**client).error().side == Side::upstream);
  CHECK((**client).error().code == ErrorCode::tls_failed);
  CHECK((**client).error().what.find("api.test") != std::string::npos);
}

TEST_CASE("a peer that says nothing in a handshake runs out of time, one that leaves has closed") {
  Trusting trusting;
  const Host host = name("api.test");
  for (const bool leaves : {false, true}) {
    Loop loop;
    auto [client_end, silent] = loop.streams();
    auto [mute, server_end] = loop.streams();
    client_end->expires_after(200ms);
    server_end->expires_after(200ms);
    auto client = loop.start(
        connect_to(std::move(client_end), *trusting.client, HostPort{host, https_port}, "me"));
    auto server = loop.start(accept_from(std::move(server_end), *trusting.server, host));
    loop.io.poll();
    if (leaves) {
      silent->close();
      mute->close();
    }
    loop.run();
    REQUIRE_FALSE(**client);
    CHECK((**client).error().code == (leaves ? ErrorCode::closed : ErrorCode::connect_timeout));
    CHECK((**client).error().side == Side::upstream);
    REQUIRE_FALSE(**server);
    CHECK((**server).error().code == (leaves ? ErrorCode::closed : ErrorCode::timeout));
    CHECK((**server).error().side == Side::client);
  }
}

TEST_CASE("CA files that are missing or hold no certificate are refused at once") {
  nono::testing::TempDir folder;
  const auto missing = ClientTlsContext::make({folder / "none.pem"});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::bad_input);
  CHECK(missing.error().what.find("none.pem") != std::string::npos);
  const auto empty = ClientTlsContext::make({folder.write("text.pem", "no certificate\n")});
  REQUIRE_FALSE(empty);
  CHECK(empty.error().what.find("text.pem holds no certificate") != std::string::npos);
}

TEST_CASE("system roots follow the environment") {
  const auto with = [](const char* file, const char* directory) {
    const Variable first("SSL_CERT_FILE", file);
    const Variable second("SSL_CERT_DIR", directory);
    return SystemRoots::find();
  };
  CHECK(*with("/x.pem", nullptr).file == "/x.pem");
  CHECK_FALSE(with("", nullptr).file);
  const SystemRoots own = with(nullptr, "/a:/b");
  CHECK(*own.directory == "/a:/b");
  CHECK_FALSE(own.bundle);
}
