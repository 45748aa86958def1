#include "proxy/intercept/ca.hpp"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>

#include "proxy/intercept/bundle.hpp"
#include "tests/intercept/environment.hpp"
#include "tests/intercept/raw_client.hpp"
#include "tests/intercept/tls_ends.hpp"
#include "tests/support/process.hpp"

using namespace nono;
using namespace nono::intercept;
using namespace nono::test;
using nono::testing::TempDir;

namespace {

std::string leaf_pem(const ServerCertificate& certificate) {
  BIO* memory = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(memory, certificate.chain.front().get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(memory);
  return text;
}

nono::testing::Finished openssl(const TempDir& folder, std::vector<std::string> arguments) {
  nono::testing::Command command;
  command.argv = std::move(arguments);
  command.argv.insert(command.argv.begin(), "openssl");
  command.env = nono::testing::plain_environment(folder.path());
  command.cwd = folder.path();
  return nono::testing::run(command);
}

// Makes ca.pem and ca.key with the openssl program.
void make_ca(const TempDir& folder, const std::string& algorithm, const std::string& constraints,
             std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {
      "req",           "-x509",   "-newkey",   algorithm, "-nodes", "-days", "2",     "-subj",
      "/CN=Corporate", "-addext", constraints, "-keyout", "ca.key", "-out",  "ca.pem"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto done = openssl(folder, arguments);
  INFO(done.err);
  REQUIRE(done.code == 0);
}

UniqueFd open_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

}  // namespace

TEST_CASE("openssl verifies minted leaves for their host and no other, strictly") {
  const TempDir folder;
  const auto ca = *CertificateAuthority::generate();
  folder.write("ca.pem", ca->certificate_pem());
  const std::string long_name =
      "a-rather-long-label-that-fills-the-room.another-label-of-some-length.example.test";
  const std::pair<Host, std::vector<std::string>> hosts[] = {
      {name("api.test"), {"-verify_hostname", "api.test"}},
      {name("xn--bcher-kva.test"), {"-verify_hostname", "xn--bcher-kva.test"}},
      {name(long_name), {"-verify_hostname", long_name}},
      {*IpAddress::parse("192.0.2.1"), {"-verify_ip", "192.0.2.1"}},
      {*IpAddress::parse("2001:db8::1"), {"-verify_ip", "2001:db8::1"}}};
  for (const auto& [host, check] : hosts) {
    folder.write("leaf.pem", leaf_pem(*ca->mint(host)));
    std::vector<std::string> arguments = {"verify",     "-x509_strict", "-purpose", "sslserver",
                                          "-no-CApath", "-no-CAstore",  "-CAfile",  "ca.pem"};
    arguments.insert(arguments.end(), check.begin(), check.end());
    arguments.push_back("leaf.pem");
    const auto verified = openssl(folder, arguments);
    INFO(verified.out + verified.err);
    CHECK(verified.code == 0);
    arguments[9] = check[0] == "-verify_ip" ? "192.0.2.99" : "other.test";
    CHECK(openssl(folder, arguments).code != 0);
  }
}

TEST_CASE("every run has a CA of its own, and leaves have their own serials and keys") {
  const auto one = *CertificateAuthority::generate();
  const auto two = *CertificateAuthority::generate();
  CHECK(one->certificate_pem() != two->certificate_pem());
  const auto a = *one->mint(name("api.test")), b = *one->mint(name("api.test"));
  CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(a.chain[0].get()),
                         X509_get0_serialNumber(b.chain[0].get())) != 0);
  CHECK(EVP_PKEY_eq(a.key.get(), b.key.get()) != 1);
  CHECK(a.chain.size() == 1);  // the root is the client's already
}

TEST_CASE("leaves begin in the past and end no later than their CA") {
  const auto ca = *CertificateAuthority::generate(std::chrono::hours(2));
  const auto leaf = *ca->mint(name("api.test"));
  X509* certificate = leaf.chain[0].get();
  std::time_t half_hour_ago = std::time(nullptr) - 1800;
  CHECK(X509_cmp_time(X509_get0_notBefore(certificate), &half_hour_ago) < 0);
  std::time_t three_hours_on = std::time(nullptr) + 3 * 3600;
  CHECK(X509_cmp_time(X509_get0_notAfter(certificate), &three_hours_on) < 0);
  const auto ended = *CertificateAuthority::generate(std::chrono::hours(0));
  const auto refused = ended->mint(name("api.test"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().what.find("has expired") != std::string::npos);
}

TEST_CASE("the leaf cache is bounded and keeps what is used") {
  LeafCache cache(*CertificateAuthority::generate(), 3);
  const auto key_of = [&](const std::string& host) {
    return (*cache.certificate_for(name(host)))->key.get();
  };
  const EVP_PKEY* first = key_of("a.test");
  key_of("b.test");
  key_of("c.test");
  CHECK(key_of("a.test") == first);
  key_of("d.test");
  CHECK(cache.size() == 3);
  CHECK(key_of("a.test") == first);  // b.test went
  for (int i = 0; i < 20; ++i) key_of("h" + std::to_string(i) + ".test");
  CHECK(cache.size() == 3);
}

TEST_CASE("a user's own CA signs, whatever its key") {
  for (const std::string algorithm : {"rsa:2048", "ed25519"}) {
    const TempDir folder;
    make_ca(folder, algorithm, "keyUsage=critical,keyCertSign,digitalSignature");
    const auto ca = CertificateAuthority::from_pem_files(folder / "ca.pem", folder / "ca.key");
    REQUIRE(ca);
    folder.write("leaf.pem", leaf_pem(*(*ca)->mint(name("api.test"))));
    CHECK(
        openssl(folder, {"verify", "-CAfile", "ca.pem", "-verify_hostname", "api.test", "leaf.pem"})
            .code == 0);
  }
}

TEST_CASE("files that make no CA are refused by name") {
  const TempDir folder;
  const auto refused = [&](const std::string& certificate, const std::string& key) {
    const auto ca = CertificateAuthority::from_pem_files(certificate, key);
    REQUIRE_FALSE(ca);
    CHECK(ca.error().code == ErrorCode::bad_input);
    return ca.error().what;
  };
  make_ca(folder, "rsa:2048", "keyUsage=critical,keyCertSign");
  const std::string pem = folder / "ca.pem", key = folder / "ca.key";
  CHECK(refused(folder / "none.pem", key).find("none.pem") != std::string::npos);
  CHECK(refused(folder.path(), key).find("not a regular file") != std::string::npos);
  CHECK(refused(key, key).find("holds no certificate") != std::string::npos);
  CHECK(refused(pem, pem).find("holds no private key") != std::string::npos);
  REQUIRE(openssl(folder,
                  {"pkey", "-in", "ca.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"})
              .code == 0);
  CHECK(refused(pem, folder / "locked.key").find("holds no private key") != std::string::npos);
  REQUIRE(openssl(folder, {"genpkey", "-algorithm", "ed25519", "-out", "other.key"}).code == 0);
  CHECK(refused(pem, folder / "other.key").find("does not belong") != std::string::npos);
  const TempDir plain;
  make_ca(plain, "rsa:2048", "basicConstraints=critical,CA:FALSE");
  CHECK(refused(plain / "ca.pem", plain / "ca.key").find("no certificate authority") !=
        std::string::npos);
}

TEST_CASE("the bundle holds the parent's roots, the system's and ours") {
  const TempDir folder;
  make_ca(folder, "ed25519", "keyUsage=critical,keyCertSign");
  const auto ca = *CertificateAuthority::generate();
  const std::string path = folder.write("bundle.pem", std::string(1'000'000, 'x'));
  REQUIRE(write_bundle(open_file(path), *ca, folder / "ca.pem"));
  const std::string bundle = nono::testing::read_file(path);
  CHECK(bundle.find(nono::testing::read_file(folder / "ca.pem")) == 0);
  CHECK(bundle.ends_with(ca->certificate_pem()));
  CHECK(bundle.find(std::string(100, 'x')) == std::string::npos);

  folder.write("leaf.pem", leaf_pem(*ca->mint(name("api.test"))));
  CHECK(openssl(folder, {"verify", "-no-CApath", "-CAfile", "bundle.pem", "leaf.pem"}).code == 0);
  CHECK(openssl(folder, {"verify", "-no-CApath", "-CAfile", "bundle.pem", "ca.pem"}).code == 0);
}

TEST_CASE("roots that are named twice are in the bundle once") {
  const TempDir folder;
  make_ca(folder, "ed25519", "keyUsage=critical,keyCertSign");
  const std::string pem = nono::testing::read_file(folder / "ca.pem");
  const std::string parent = folder.write("parent.pem", "# ours\n" + pem + "text between\n" + pem);
  folder.make_folder("hashed");
  folder.write("hashed/0a1b2c3d.0", pem);
  folder.write("hashed/Readable_Name.pem",
               "-----BEGIN CERTIFICATE-----\nother\n-----END CERTIFICATE-----\n");
  const Variable file("SSL_CERT_FILE", parent.c_str());
  const Variable directory("SSL_CERT_DIR", (folder / "hashed").c_str());
  const auto ca = *CertificateAuthority::generate();
  REQUIRE(write_bundle(open_file(folder / "bundle.pem"), *ca, parent));
  CHECK(nono::testing::read_file(folder / "bundle.pem") == pem + ca->certificate_pem());
}

TEST_CASE("a parent's bundle that does not exist is passed over") {
  const TempDir folder;
  const auto ca = *CertificateAuthority::generate();
  REQUIRE(write_bundle(open_file(folder / "bundle.pem"), *ca, folder / "none.pem"));
  CHECK(nono::testing::read_file(folder / "bundle.pem").find("BEGIN CERTIFICATE") !=
        std::string::npos);
}

TEST_CASE("a bundle without any roots but ours is an error") {
  const TempDir folder;
  const auto ca = *CertificateAuthority::generate();
  const Variable file("SSL_CERT_FILE", nullptr);
  const Variable directory("SSL_CERT_DIR", folder.path().c_str());
  const auto written = write_bundle(open_file(folder / "bundle.pem"), *ca, folder / "none.pem");
  REQUIRE_FALSE(written);
  CHECK(written.error().fix.find("ca-certificates") != std::string::npos);
}

TEST_CASE("a bundle that cannot be written is an error") {
  const auto ca = *CertificateAuthority::generate();
  const auto written = write_bundle(UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC)), *ca, {});
  REQUIRE_FALSE(written);
}

TEST_CASE("a client that knows only the bundle accepts an intercepted host") {
  Loop loop;
  Trusting trusting;
  const std::string path = trusting.folder / "bundle.pem";
  REQUIRE(write_bundle(open_file(path), *trusting.ca, {}));
  auto [near, far] = loop.sockets();
  RawClient client;
  client.sni = "api.test";
  client.ca_file = path;
  std::thread thread([&client, fd = near.release()] { client.run(fd); });
  auto accepted = loop.start(
      accept_from(loop.stream(std::move(far)), *trusting.server, Host(name("api.test"))));
  loop.run();
  CHECK(**accepted);
  if (**accepted) (***accepted)->close();
  thread.join();
  CHECK(client.connected);
}

TEST_CASE("curl reaches an intercepted host with the bundle") {
  Loop loop;
  Trusting trusting;
  const std::string path = trusting.folder / "bundle.pem";
  REQUIRE(write_bundle(open_file(path), *trusting.ca, {}));
  TcpAcceptor acceptor(loop.io.get_executor(),
                       net::ip::tcp::endpoint(net::ip::address_v4::loopback(), 0));
  const std::string port = std::to_string(acceptor.local_endpoint().port());
  nono::testing::Command command;
  command.argv = {"curl",
                  "-sS",
                  "--http1.1",
                  "--resolve",
                  "api.test:" + port + ":127.0.0.1",
                  "https://api.test:" + port + "/"};
  command.env = nono::testing::plain_environment(trusting.folder.path());
  command.env["CURL_CA_BUNDLE"] = path;
  command.env["NO_PROXY"] = "*";
  std::optional<nono::testing::Process> curl;
  try {
    curl.emplace(command);
  } catch (const std::exception&) {
    WARN("skipped by name: curl");
    return;
  }
  auto accepted = loop.start(
      accept_from(loop.stream(acceptor.accept()), *trusting.server, Host(name("api.test"))));
  loop.run();
  REQUIRE(**accepted);
  TlsStream& stream = ****accepted;
  auto request = loop.start(read_exactly(stream, 16));
  loop.run();
  CHECK(***request == "GET / HTTP/1.1\r\n");
  auto answered = loop.start(write_text(
      stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nseen well"));
  loop.run();
  auto ended = loop.start(stream.shutdown_send());
  loop.run();
  const auto finished = curl->wait();
  INFO(finished.err);
  CHECK(finished.code == 0);
  CHECK(finished.out == "seen well");
}
