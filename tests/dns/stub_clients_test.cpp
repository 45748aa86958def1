// The stub server and resolvers that other people wrote: glibc's and c-ares.

#include <atomic>
#include <thread>

#include "dns/ares_channel.hpp"
#include "tests/dns/glibc_resolver.hpp"
#include "tests/dns/stub_fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

// Runs the server on this thread while `client` runs on its own.
template <class Client>
void serve_while(StubFixture& fixture, Client client) {
  fixture.start();
  std::atomic<bool> done{false};
  std::thread thread([&] {
    client();
    done = true;
  });
  const bool ended = fixture.run_until([&] { return done.load(); });
  thread.join();
  REQUIRE(ended);
}

}  // namespace

TEST_CASE("glibc's resolver is served over UDP, with and without EDNS, and over TCP") {
  for (unsigned long flags :
       {0UL, static_cast<unsigned long>(RES_USE_EDNS0), static_cast<unsigned long>(RES_USEVC)}) {
    StubFixture fixture;
    // glibc has one port for both.
    fixture.server.add_a("www.example.org", "93.184.216.34");
    fixture.start();
    const std::uint16_t port = (flags & RES_USEVC) != 0 ? fixture.tcp_port : fixture.udp_port;
    Message permitted;
    int found = -1, denied = -1, empty = -1, refused = -1;
    serve_while(fixture, [&] {
      Glibc resolver(port, flags);
      permitted = resolver.query("www.example.org", ns_t_a, found);
      resolver.query("evil.example", ns_t_a, denied);
      resolver.query("www.example.org", ns_t_aaaa, empty);
      resolver.query("www.example.org", ns_t_txt, refused);
    });
    CHECK(found == 0);
    CHECK(reply_of(permitted).addresses == std::vector<std::string>{"93.184.216.34"});
    CHECK(denied == HOST_NOT_FOUND);  // for good: it does not try elsewhere
    CHECK(empty == NO_DATA);
    CHECK(refused != 0);
    CHECK(fixture.server.count("evil.example") == 0);
    CHECK(fixture.server.count("www.example.org") == 2);
  }
}

TEST_CASE("c-ares takes our answers, and tells no such name from no address") {
  StubFixture fixture({"www.example.org", "gone.example.org"});
  fixture.server.add_a("www.example.org", "93.184.216.34", 60);
  fixture.start();
  const HostPort stub{ip("127.0.0.1"), Port(fixture.udp_port)};
  auto channel = dns::AresChannel::make(fixture.context.get_executor(), stub, 2s).value();
  const auto ask = [&](const std::string& name, dns::Family family) {
    std::optional<dns::Outcome> outcome;
    channel->query(HostName::parse(name).value(), family,
                   [&](dns::Outcome result) { outcome = std::move(result); });
    REQUIRE(fixture.run_until([&] { return outcome.has_value(); }));
    return *outcome;
  };
  const dns::Outcome found = ask("www.example.org", dns::Family::v4);
  CHECK(found.verdict == dns::Verdict::found);
  CHECK(text_of(found.addresses) == "93.184.216.34");
  CHECK(found.ttl <= 60s);
  CHECK(found.ttl >= 50s);
  CHECK(ask("www.example.org", dns::Family::v6).verdict == dns::Verdict::no_address);
  CHECK(ask("gone.example.org", dns::Family::v4).verdict == dns::Verdict::no_such_name);
  CHECK(ask("evil.example", dns::Family::v4).verdict == dns::Verdict::no_such_name);
  CHECK(fixture.server.count("evil.example") == 0);
}

TEST_CASE("One stub may ask another: a chain of filters") {
  StubFixture inner({"*.example.org"});
  inner.server.add_a("www.example.org", "93.184.216.34");
  inner.start();
  // Both on the inner one's thread.
  dns::ResolverOptions options;
  options.hosts_file = "";
  options.servers = {HostPort{ip("127.0.0.1"), Port(inner.udp_port)}};
  auto resolver = dns::make_resolver(inner.context.get_executor(), options).value();
  dns::VettedAnswers source(*resolver);
  RuleJudge judge({"www.example.org", "other.example.org"});
  dns::StubServer outer(inner.context.get_executor(), judge, source);
  UniqueFd udp = bound_socket(SOCK_DGRAM, "127.0.0.1");
  inner.client = connected_socket(SOCK_DGRAM, "127.0.0.1", port_of(udp.get()));
  REQUIRE(outer.serve_udp(std::move(udp)));
  CHECK(inner.ask("www.example.org").addresses == std::vector<std::string>{"93.184.216.34"});
  CHECK(inner.ask("other.example.org").rcode == 3);
  CHECK(inner.ask("more.example.org").rcode == 3);
  CHECK(inner.server.count("more.example.org") == 0);
}
