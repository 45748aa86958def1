// The stub server: what it answers, and what must never leave it.

#include "tests/dns/stub_fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

constexpr int rcode_nxdomain = 3, rcode_servfail = 2, rcode_refused = 5, rcode_formerr = 1,
              rcode_notimp = 4;

}  // namespace

TEST_CASE("A permitted name is answered with its vetted addresses and the time they have left") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34", 60);
  fixture.server.add_aaaa("www.example.org", "2606:4700::1", 60);
  const Reply four = fixture.ask("www.example.org");
  CHECK(four.rcode == 0);
  CHECK(four.addresses == std::vector<std::string>{"93.184.216.34"});
  REQUIRE(four.ttls.size() == 1);
  CHECK(four.ttls[0] <= 60);
  CHECK(four.ttls[0] >= 50);
  const Reply six = fixture.ask("www.example.org", dns::type_aaaa);
  CHECK(six.addresses == std::vector<std::string>{"2606:4700::1"});
  CHECK(fixture.server.queries().size() == 2);
  CHECK(fixture.stub_server->counters().missed.value() == 1);
  CHECK(fixture.stub_server->counters().cached.value() == 1);
}

TEST_CASE("A denied name does not exist, at once, and nobody is asked") {
  StubFixture fixture;
  fixture.server.add_a("evil.example", "93.184.216.34");
  for (std::uint16_t type : {1, 28, 5, 15, 16, 33, 64, 65, 255, 252}) {
    const Reply reply = fixture.ask("evil.example", type);
    CHECK(reply.rcode == rcode_nxdomain);
    CHECK(reply.addresses.empty());
    CHECK(reply.soa);
  }
  fixture.ask("exfiltrated-secret.evil.example");
  fixture.context.poll();
  CHECK(fixture.server.queries().empty());
  CHECK(fixture.stub_server->counters().denied.value() == 11);
}

TEST_CASE("A client with EDNS is told why, and what would allow it") {
  StubFixture fixture;
  const Reply reply = fixture.ask("evil.example", dns::type_a, true);
  CHECK(reply.rcode == rcode_nxdomain);
  CHECK(reply.extended_error == 15);
  CHECK_THAT(reply.explanation, Catch::Contains("evil.example"));
  CHECK_THAT(reply.explanation, Catch::Contains("--allow-domain evil.example"));
}

TEST_CASE("A permitted name that leads to a private address is denied, and says so") {
  StubFixture fixture({"sneaky.example.org"});
  fixture.server.add_a("sneaky.example.org", "10.0.0.5");
  const Reply reply = fixture.ask("sneaky.example.org", dns::type_a, true);
  CHECK(reply.rcode == rcode_nxdomain);
  CHECK(reply.addresses.empty());
  CHECK_THAT(reply.explanation, Catch::Contains("10.0.0.5"));
  REQUIRE(fixture.decisions.size() == 1);
  CHECK_FALSE(fixture.decisions[0].allowed);
  CHECK(fixture.decisions[0].because.reason == Reason::private_address);
}

TEST_CASE("Of several addresses only the vetted ones are told") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "10.0.0.5");
  fixture.server.add_a("www.example.org", "93.184.216.34");
  CHECK(fixture.ask("www.example.org").addresses == std::vector<std::string>{"93.184.216.34"});
}

TEST_CASE("HTTPS and SVCB are empty, without a look-up") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  for (std::uint16_t type : {dns::type_https, dns::type_svcb}) {
    const Reply reply = fixture.ask("www.example.org", type);
    CHECK(reply.rcode == 0);
    CHECK(reply.soa);
    CHECK(reply.addresses.empty());
  }
  CHECK(fixture.server.queries().empty());
}

TEST_CASE("Other types of a permitted name are refused, without a look-up") {
  StubFixture fixture;
  for (std::uint16_t type : {2, 5, 6, 15, 16, 33, 43, 48, 99, 252, 255, 257, 65535}) {
    CHECK(fixture.ask("www.example.org", type).rcode == rcode_refused);
  }
  CHECK(fixture.server.queries().empty());
  CHECK(fixture.stub_server->counters().type_refused.value() == 13);
}

TEST_CASE("localhost is loopback, whatever the rules say") {
  StubFixture fixture;
  fixture.server.add_a("localhost", "93.184.216.34");
  for (const char* name : {"localhost", "LOCALHOST", "app.localhost"}) {
    CHECK(fixture.ask(name).addresses == std::vector<std::string>{"127.0.0.1"});
    CHECK(fixture.ask(name, dns::type_aaaa).addresses == std::vector<std::string>{"::1"});
    CHECK(fixture.ask(name, 16).rcode == 0);
  }
  CHECK(fixture.ask("notlocalhost").rcode == rcode_nxdomain);
  CHECK(fixture.server.queries().empty());
  CHECK(fixture.ask("1.0.0.127.in-addr.arpa", dns::type_ptr).pointers ==
        std::vector<std::string>{"localhost"});
  CHECK(fixture.ask("34.216.184.93.in-addr.arpa", dns::type_ptr).rcode == rcode_nxdomain);
}

TEST_CASE("A name that does not exist, and one without addresses, are told apart") {
  StubFixture fixture({"gone.example.org", "empty.example.org"});
  fixture.server.add_cname("empty.example.org", "empty.example.org");
  const Reply gone = fixture.ask("gone.example.org");
  CHECK(gone.rcode == rcode_nxdomain);
  CHECK(gone.soa);
  const Reply empty = fixture.ask("empty.example.org");
  CHECK(empty.rcode == 0);
  CHECK(empty.soa);
  CHECK(empty.addresses.empty());
  const std::size_t asked = fixture.server.queries().size();
  CHECK(fixture.ask("gone.example.org", dns::type_aaaa).rcode == rcode_nxdomain);
  CHECK(fixture.server.queries().size() == asked);
}

TEST_CASE("A name with addresses of one family has none of the other, and exists") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  const Reply six = fixture.ask("www.example.org", dns::type_aaaa);
  CHECK(six.rcode == 0);
  CHECK(six.addresses.empty());
  CHECK(six.soa);
}

TEST_CASE("When nobody can say, neither can we") {
  StubFixture fixture;
  fixture.server.set_fault(DnsFault::servfail);
  const Reply reply = fixture.ask("www.example.org", dns::type_a, true);
  CHECK(reply.rcode == rcode_servfail);
  CHECK(reply.extended_error == 23);
  CHECK_THAT(reply.explanation, Catch::Contains("could not be resolved"));
}

TEST_CASE("Equal questions that come at once are one look-up, and each gets its answer") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::hold);
  std::set<std::uint16_t> expected;
  for (std::uint8_t i = 0; i < 50; ++i) {
    Message message = query_message(i % 2 == 0 ? "www.example.org" : "WWW.Example.ORG");
    message[1] = i;
    fixture.send(message);
    expected.insert(static_cast<std::uint16_t>(0x1200 + i));
  }
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  fixture.server.release();
  for (int i = 0; i < 50; ++i) {
    const Reply reply = reply_of(fixture.receive());
    CHECK(reply.addresses == std::vector<std::string>{"93.184.216.34"});
    CHECK(expected.erase(reply.id) == 1);
  }
  CHECK(fixture.server.queries().size() == 2);
  CHECK(fixture.stub_server->lookups_waiting() == 0);
}

TEST_CASE("The question's case comes back in answers from memory and from look-ups alike") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  for (const char* name : {"wWw.ExAmPlE.oRg", "WWW.eXaMpLe.OrG"}) {
    const Message message = query_message(name);
    fixture.send(message);
    const Message sent = fixture.receive();
    REQUIRE(sent.size() > message.size());
    CHECK(std::equal(message.begin() + 12, message.end(), sent.begin() + 12));
  }
}

TEST_CASE("What is no query gets no answer, and what is malformed gets FORMERR") {
  StubFixture fixture;
  Message response = query_message("www.example.org");
  response[2] |= 0x80;
  fixture.send(response);
  fixture.send(Message{});
  fixture.send(Message(11, 0));
  Message cut = query_message("www.example.org");
  cut.pop_back();
  const Reply reply = fixture.ask(cut);  // the first that comes back
  CHECK(reply.rcode == rcode_formerr);
  CHECK(reply.id == 0x1234);
  Message notify = query_message("www.example.org");
  notify[2] = 4 << 3;
  CHECK(fixture.ask(notify).rcode == rcode_notimp);
  CHECK(fixture.stub_server->counters().malformed.value() == 5);
  CHECK(fixture.server.queries().empty());
}

TEST_CASE("Names that no host has are denied without bothering the judge") {
  StubFixture fixture({"*.example.org"});
  Message dot = query_message("a-b.example.org");
  dot[14] = '.';  // "a.b.example.org" as far as a careless reader is concerned
  CHECK(fixture.ask(dot).rcode == rcode_nxdomain);
  Message nul = query_message("a-b.example.org");
  nul[14] = 0x07;
  CHECK(fixture.ask(nul).rcode == rcode_nxdomain);
  CHECK(fixture.ask("127.0.0.1").rcode == rcode_nxdomain);
  CHECK(fixture.ask("0x7f.1").rcode == rcode_nxdomain);
  CHECK(fixture.ask("").rcode == rcode_refused);
  CHECK(fixture.judge.judged == 0);
  CHECK(fixture.server.queries().empty());
  REQUIRE(fixture.decisions.size() == 4);
  CHECK(fixture.decisions[0].name == "a\\046b.example.org");
  CHECK(fixture.decisions[0].because.reason == Reason::bad_target);
}

TEST_CASE(
    "Nothing unexpected is remembered of the names: the judge is asked once, until policy "
    "changes") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.add_a("other.example.org", "93.184.216.35");
  for (int i = 0; i < 3; ++i) {
    CHECK(fixture.ask("www.example.org").addresses.size() == 1);
    CHECK(fixture.ask("other.example.org").rcode == rcode_nxdomain);
  }
  CHECK(fixture.judge.judged == 2);
  fixture.judge.set({"other.example.org"}, {});
  fixture.stub_server->forget_names();
  CHECK(fixture.ask("www.example.org").rcode == rcode_nxdomain);
  CHECK(fixture.ask("other.example.org").addresses == std::vector<std::string>{"93.184.216.35"});
}

TEST_CASE("A look-up that began under an older policy is not remembered under the new one") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::hold);
  fixture.send(query_message("www.example.org"));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  fixture.judge.set({}, {});
  fixture.stub_server->forget_names();
  CHECK(fixture.ask("www.example.org").rcode == rcode_nxdomain);
  fixture.server.release();
  fixture.receive();  // the one that waited
  CHECK(fixture.ask("www.example.org").rcode == rcode_nxdomain);
}

TEST_CASE("A query made after the policy changed does not join a look-up that began before") {
  StubFixture fixture({"www.example.org"}, {"10.0.0.0/8"});
  fixture.server.add_a("www.example.org", "10.1.2.3");
  fixture.server.set_fault(DnsFault::hold);
  fixture.send(query_message("www.example.org"));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  fixture.judge.set({"www.example.org"}, {});
  fixture.stub_server->forget_names();
  fixture.send(query_message("www.example.org"));
  REQUIRE(fixture.run_until([&] { return fixture.stub_server->lookups_waiting() == 2; }));
  fixture.server.release();
  const Reply one = reply_of(fixture.receive()), other = reply_of(fixture.receive());
  const Reply& before = one.addresses.empty() ? other : one;
  const Reply& after = one.addresses.empty() ? one : other;
  CHECK(before.addresses == std::vector<std::string>{"10.1.2.3"});
  CHECK(after.addresses.empty());
  CHECK(after.rcode == rcode_nxdomain);
  CHECK(fixture.stub_server->lookups_waiting() == 0);
}

TEST_CASE("Over the bound of look-ups more are refused, and those under way are answered") {
  StubFixture fixture({"*.example.org"});
  fixture.stub.lookups_max = 2;
  fixture.server.set_fault(DnsFault::hold);
  fixture.send(query_message("one.example.org"));
  fixture.send(query_message("two.example.org"));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 4; }));
  CHECK(fixture.ask("three.example.org").rcode == rcode_refused);
  CHECK(fixture.server.count("three.example.org") == 0);
  fixture.server.release();
  CHECK(reply_of(fixture.receive()).rcode == rcode_nxdomain);
  CHECK(reply_of(fixture.receive()).rcode == rcode_nxdomain);
  CHECK(fixture.stub_server->counters().limited.value() == 1);
}

TEST_CASE("One client's waiting queries are bounded") {
  StubFixture fixture;
  fixture.stub.waiting_per_client_max = 3;
  fixture.server.set_fault(DnsFault::hold);
  for (int i = 0; i < 3; ++i) fixture.send(query_message("www.example.org"));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  CHECK(fixture.ask("www.example.org").rcode == rcode_refused);
  fixture.server.release();
  for (int i = 0; i < 3; ++i) CHECK(reply_of(fixture.receive()).rcode == rcode_nxdomain);
}

TEST_CASE("A flood of permitted names is cut at the rate of look-ups") {
  StubFixture fixture({"*.example.org"});
  fixture.stub.lookups = {1, 20};
  fixture.server.set_fault(DnsFault::servfail);
  std::size_t refused = 0;
  for (int i = 0; i < 200; ++i) {
    const Reply reply = fixture.ask("n" + std::to_string(i) + ".example.org");
    if (reply.rcode == rcode_refused) ++refused;
  }
  CHECK(refused >= 170);
  CHECK(fixture.server.queries().size() <= 60);
  CHECK(fixture.ask("localhost").addresses.size() == 1);  // what costs nothing is answered still
}

TEST_CASE("Queries of one client are bounded in rate where asked for") {
  StubFixture fixture;
  fixture.stub.queries = {1, 10};
  std::size_t refused = 0;
  for (int i = 0; i < 50; ++i) {
    if (fixture.ask("localhost").rcode == rcode_refused) ++refused;
  }
  CHECK(refused >= 35);
  CHECK(refused <= 40);
}

TEST_CASE("Three hundred thousand denied names leave bounded memory and a readable log") {
  StubFixture fixture;
  fixture.stub.names_max = 1000;
  fixture.stub.decisions.entries_max = 100;
  fixture.stub.decisions.told = {10, 50};
  fixture.start();
  Message message = query_message("n000000.evil.example");
  constexpr int names = 300'000, batch = 100;
  int answered = 0;
  for (int i = 0; i < names; i += batch) {
    for (int j = i; j < i + batch; ++j) {
      for (int digit = 0, rest = j; digit < 6; ++digit, rest /= 10) {
        message[19 - static_cast<std::size_t>(digit)] = static_cast<std::uint8_t>('0' + rest % 10);
      }
      fixture.send(message);
    }
    fixture.context.restart();
    fixture.context.poll();
    std::uint8_t reply[512];
    while (::recv(fixture.client.get(), reply, sizeof reply, MSG_DONTWAIT) > 0) ++answered;
  }
  CHECK(answered > names / 2);
  CHECK(fixture.stub_server->names_known() == 1000);
  CHECK(fixture.server.queries().empty());
  const auto denied = fixture.stub_server->counters().denied.value();
  fixture.stub_server.reset();
  CHECK(fixture.decisions.size() < 2000);
  std::uint64_t told = 0;
  for (const dns::StubDecision& decision : fixture.decisions) told += decision.times;
  CHECK(told == denied);  // each is in the log, if only as part of a number
}

TEST_CASE("The log has each client and name once, and then how many more") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  for (int i = 0; i < 5; ++i) {
    fixture.ask("evil.example", i % 2 == 0 ? dns::type_a : dns::type_aaaa);
    fixture.ask("www.example.org");
  }
  REQUIRE(fixture.decisions.size() == 2);
  const dns::StubDecision denied = fixture.decisions[0];
  CHECK(denied.name == "evil.example");
  CHECK(denied.client == ip("127.0.0.1"));
  CHECK_FALSE(denied.allowed);
  CHECK(denied.because.reason == Reason::no_rule);
  CHECK_THAT(denied.fix, Catch::Contains("--allow-domain evil.example"));
  CHECK(fixture.decisions[1].allowed);
  CHECK(fixture.decisions[1].because.rule == "www.example.org");
  fixture.stub_server.reset();
  REQUIRE(fixture.decisions.size() == 4);
  CHECK(fixture.decisions[2].times == 4);
  CHECK(fixture.decisions[3].times == 4);
}

TEST_CASE("A server that goes while look-ups run leaves nothing behind") {
  StubFixture fixture;
  fixture.server.set_fault(DnsFault::hold);
  fixture.send(query_message("www.example.org"));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  fixture.stub_server.reset();
  fixture.source.reset();
  fixture.server.release();
  fixture.context.run_for(50ms);
  fixture.resolver.reset();
  fixture.context.run_for(10ms);
}

TEST_CASE("A reply comes from the address that was asked, on a socket that has many") {
  for (const char* everywhere : {"0.0.0.0", "::"}) {
    StubFixture fixture;
    fixture.bind_to = everywhere;
    fixture.server.add_a("www.example.org", "93.184.216.34");
    fixture.start();
    for (const char* asked : {"127.0.0.9", "127.1.2.3"}) {
      // A connected socket takes nothing from anywhere else.
      fixture.client = connected_socket(SOCK_DGRAM, asked, fixture.udp_port);
      fixture.server.set_fault(DnsFault::none);
      fixture.stub_server->forget_names();
      CHECK(fixture.ask("www.example.org").addresses.size() == 1);  // looked up
      CHECK(fixture.ask("www.example.org").addresses.size() == 1);  // from memory
      CHECK(fixture.ask("evil.example").rcode == rcode_nxdomain);
    }
  }
}
