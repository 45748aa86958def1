// The system's own DNS settings, and resolvers on several threads.

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "dns/ares_channel.hpp"
#include "tests/dns/fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

class ScratchFile {
 public:
  ScratchFile() { ::close(::mkstemp(path_)); }
  ~ScratchFile() { ::unlink(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const char* path() const { return path_; }
  void write(const std::string& text) { std::ofstream(path_) << text; }

 private:
  char path_[32] = "/tmp/nono-resolv-XXXXXX";
};

std::string servers_in(const std::string& text) {
  ScratchFile file;
  file.write(text);
  std::string listed;
  std::vector<HostPort> servers = dns::system_servers(file.path()).value();
  for (const HostPort& server : servers) {
    listed += (listed.empty() ? "" : ", ") + server.to_string();
  }
  return listed;
}

}  // namespace

TEST_CASE("Servers are those that resolv.conf names, on port 53") {
  CHECK(servers_in("# comment\nsearch corp.example\nnameserver 127.0.0.9\n"
                   "nameserver ::1\noptions edns0 trust-ad\n") == "127.0.0.9:53, [::1]:53");
  CHECK(servers_in("nonsense \x01\nnameserver not-an-address\nnameserver 127.0.0.8\n") ==
        "127.0.0.8:53");
}

TEST_CASE("Without a usable resolv.conf the server is this machine") {
  CHECK(servers_in("") == "127.0.0.1:53");
  CHECK(dns::system_servers("/nonexistent/resolv.conf").value().front().to_string() ==
        "127.0.0.1:53");
}

TEST_CASE("A changed resolv.conf counts for the next lookup") {
  ScratchFile file;
  ResolverFixture fixture;
  fixture.options.servers.clear();
  fixture.options.resolv_conf = file.path();
  file.write("nameserver 127.0.0.9\n");
  auto first = fixture.resolve("one.invalid");
  file.write("nameserver 127.0.0.10\nnameserver 127.0.0.11\n");
  auto second = fixture.resolve("two.invalid");
  REQUIRE_FALSE(first);
  REQUIRE_FALSE(second);
  if (first.error().code == ErrorCode::name_not_found) {
    std::cout << "skipped by name: a DNS server listens on every loopback address here\n";
    return;
  }
  CHECK_THAT(first.error().what, Catch::Contains("127.0.0.9:53"));
  CHECK_THAT(second.error().what, Catch::Contains("127.0.0.11:53"));
}

TEST_CASE("A DNS server may have an IPv6 address") {
  ResolverFixture fixture;
  fixture.options.servers = {HostPort{ip("::1"), FakeDns().endpoint().port}};
  auto failed = fixture.resolve("www.example.org");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::dns_failed);
  CHECK_THAT(failed.error().what, Catch::Contains("[::1]:"));
}

TEST_CASE("Each thread has its own resolver, and they do not disturb each other") {
  std::vector<std::string> answers(4);
  std::vector<std::thread> threads;
  Permit permit = permit_for("www.example.org");
  for (std::string& answer : answers) {
    threads.emplace_back([&answer, &permit] {
      ResolverFixture fixture;
      fixture.options.cache_entries_max = 0;
      fixture.server.add_a("www.example.org", "93.184.216.34");
      for (int i = 0; i < 20; ++i)
        answer = text_of(fixture.resolve(permit).value_or(std::vector<IpAddress>()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& answer : answers) CHECK(answer == "93.184.216.34");
}
