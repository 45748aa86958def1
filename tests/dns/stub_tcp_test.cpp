// The stub server over TCP: framing, several queries on one connection, bounds and idle clients;
// and what makes a client come over from UDP.

#include "tests/dns/stub_fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

Message framed(const Message& message) {
  Message out{static_cast<std::uint8_t>(message.size() >> 8),
              static_cast<std::uint8_t>(message.size() & 0xff)};
  out.insert(out.end(), message.begin(), message.end());
  return out;
}

Message numbered(std::uint16_t id, const std::string& name = "www.example.org") {
  Message message = query_message(name);
  message[0] = static_cast<std::uint8_t>(id >> 8);
  message[1] = static_cast<std::uint8_t>(id & 0xff);
  return message;
}

// A client's end of one connection.
class Stream {
 public:
  explicit Stream(StubFixture& fixture) : fixture_(fixture) {
    fixture.start();
    fd_ = connected_socket(SOCK_STREAM, "127.0.0.1", fixture.tcp_port);
  }
  void send(const Message& bytes) {
    REQUIRE(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  // The next answer; none where the server closed.
  std::optional<Reply> receive() {
    const auto whole = [&] {
      return buffer_.size() >= 2 && buffer_.size() >= 2U + (buffer_[0] << 8U | buffer_[1]);
    };
    REQUIRE(fixture_.run_until([&] { return whole() || pull() || closed_; }));
    while (!whole() && !closed_) REQUIRE(fixture_.run_until([&] { return pull() || closed_; }));
    if (!whole()) return std::nullopt;
    const std::size_t size = static_cast<std::size_t>(buffer_[0] << 8 | buffer_[1]);
    const auto begin = buffer_.begin() + 2, end = begin + static_cast<std::ptrdiff_t>(size);
    const Message message(begin, end);
    buffer_.erase(buffer_.begin(), end);
    return reply_of(message);
  }
  bool closes() {
    return fixture_.run_until([&] { return pull(), closed_; });
  }
  void finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

 private:
  bool pull() {
    std::uint8_t chunk[4096];
    const ssize_t got = ::recv(fd_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
    if (got > 0) buffer_.insert(buffer_.end(), chunk, chunk + got);
    closed_ = closed_ || got == 0 || (got < 0 && errno != EAGAIN);
    return got > 0;
  }
  StubFixture& fixture_;
  UniqueFd fd_;
  Message buffer_;
  bool closed_ = false;
};

}  // namespace

TEST_CASE("Queries on one connection are answered, also when they come in one piece or in many") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  Stream stream(fixture);
  Message three;
  for (std::uint16_t id : {1, 2, 3}) {
    const Message one = framed(numbered(id));
    three.insert(three.end(), one.begin(), one.end());
  }
  stream.send(three);
  for (std::uint16_t id : {1, 2, 3}) {
    const auto reply = stream.receive();
    REQUIRE(reply);
    CHECK(reply->id == id);
    CHECK(reply->addresses == std::vector<std::string>{"93.184.216.34"});
  }
  for (std::uint8_t byte : framed(numbered(4))) {
    stream.send({byte});
    fixture.context.restart();
    fixture.context.poll();
  }
  const auto last = stream.receive();
  REQUIRE(last);
  CHECK(last->id == 4);
  CHECK(fixture.stub_server->counters().tcp_connections.value() == 1);
}

TEST_CASE("An answer that is known does not wait for one that is not") {
  StubFixture fixture({"*.example.org"});
  fixture.server.add_a("slow.example.org", "93.184.216.1");
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.ask("www.example.org");
  fixture.server.set_fault(DnsFault::hold, "slow.example.org");
  Stream stream(fixture);
  stream.send(framed(numbered(1, "slow.example.org")));
  stream.send(framed(numbered(2)));
  CHECK(stream.receive()->id == 2);
  fixture.server.release();
  CHECK(stream.receive()->id == 1);
}

TEST_CASE("A client that stops sending is still answered what it asked") {
  StubFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.ask("www.example.org");
  Stream stream(fixture);
  stream.send(framed(numbered(1)));
  stream.finish_sending();
  CHECK(stream.receive()->id == 1);
  CHECK(stream.closes());
}

TEST_CASE("A denied name over TCP asks nobody either, and malformed messages get FORMERR") {
  StubFixture fixture;
  Stream stream(fixture);
  stream.send(framed(query_message("evil.example")));
  CHECK(stream.receive()->rcode == 3);
  Message cut = query_message("www.example.org");
  cut.pop_back();
  stream.send(framed(cut));
  CHECK(stream.receive()->rcode == 1);
  CHECK(fixture.server.queries().empty());
}

TEST_CASE("An answer too large for UDP says so, and comes whole over TCP") {
  StubFixture fixture;
  for (int i = 1; i <= 50; ++i) {
    fixture.server.add_a("www.example.org", "93.184.216." + std::to_string(i));
  }
  fixture.server.set_fault(DnsFault::truncated);
  const Reply small = fixture.ask("www.example.org");
  CHECK(small.truncated);
  CHECK(small.addresses.empty());
  CHECK(fixture.ask("www.example.org", dns::type_a, true).addresses.size() == 50);
  Stream stream(fixture);
  stream.send(framed(numbered(1)));
  const auto whole = stream.receive();
  REQUIRE(whole);
  CHECK_FALSE(whole->truncated);
  CHECK(whole->addresses.size() == 50);
  CHECK(fixture.stub_server->counters().truncated.value() == 1);
}

TEST_CASE("A message longer or shorter than any query ends the connection") {
  StubFixture fixture;
  Stream stream(fixture);
  stream.send({0xff, 0xff, 1, 2, 3});
  CHECK(stream.closes());
  Stream empty(fixture);
  empty.send({0, 0});
  CHECK(empty.closes());
}

TEST_CASE("Who is silent, or sends half a query and no more, is shown out") {
  StubFixture fixture;
  fixture.stub.tcp_idle_max = 100ms;
  Stream silent(fixture), half(fixture);
  half.send({0, 40, 1, 2, 3});
  CHECK(silent.closes());
  CHECK(half.closes());
  CHECK(fixture.stub_server->counters().tcp_closed.value() == 2);
}

TEST_CASE("A trickle of bytes is no activity") {
  StubFixture fixture;
  fixture.stub.tcp_idle_max = 200ms;
  Stream stream(fixture);
  const auto begin = std::chrono::steady_clock::now();
  bool closed = false;
  while (!closed && std::chrono::steady_clock::now() - begin < 5s) {
    stream.send({1});  // of 257
    fixture.context.restart();
    fixture.context.run_for(20ms);
    closed = fixture.stub_server->counters().tcp_closed.value() == 1;
  }
  CHECK(closed);
}

TEST_CASE(
    "One connection over the bound, and the idlest goes, never one that waits for an answer") {
  StubFixture fixture({"*.example.org"});
  fixture.stub.tcp_connections_max = 2;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.add_a("slow.example.org", "93.184.216.1");
  fixture.server.set_fault(DnsFault::hold, "slow.example.org");
  Stream waiting(fixture);
  waiting.send(framed(numbered(1, "slow.example.org")));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  Stream idle(fixture);
  REQUIRE(fixture.run_until(
      [&] { return fixture.stub_server->counters().tcp_connections.value() == 2; }));
  Stream third(fixture);
  third.send(framed(numbered(3)));
  CHECK(third.receive()->id == 3);
  CHECK(idle.closes());
  fixture.server.release();
  CHECK(waiting.receive()->id == 1);
}

TEST_CASE("A connection with as many questions as it may have is not read until one is answered") {
  StubFixture fixture({"*.example.org"});
  fixture.stub.tcp_waiting_max = 2;
  for (const char* name : {"a.example.org", "b.example.org", "c.example.org"}) {
    fixture.server.add_a(name, "93.184.216.34");
  }
  fixture.server.set_fault(DnsFault::hold);
  Stream stream(fixture);
  stream.send(framed(numbered(1, "a.example.org")));
  stream.send(framed(numbered(2, "b.example.org")));
  stream.send(framed(numbered(3, "c.example.org")));
  stream.send(framed(numbered(4, "evil.example")));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 4; }));
  fixture.context.run_for(20ms);
  CHECK(fixture.stub_server->lookups_waiting() == 2);
  CHECK(fixture.stub_server->counters().queries.value() == 2);
  fixture.server.set_fault(DnsFault::none);
  fixture.server.release();
  std::set<std::uint16_t> ids;
  for (int i = 0; i < 4; ++i) ids.insert(stream.receive()->id);
  CHECK(ids == std::set<std::uint16_t>{1, 2, 3, 4});
}

TEST_CASE("A client that does not read its answers is not read either, and then shown out") {
  StubFixture fixture;
  fixture.stub.tcp_idle_max = 300ms;
  fixture.start();
  UniqueFd greedy = connected_socket(SOCK_STREAM, "127.0.0.1", fixture.tcp_port);
  const int small = 4096;
  ::setsockopt(greedy.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  const Message query = framed(query_message("evil.example", dns::type_a, true));
  const auto closed = [&] {
    for (int i = 0; i < 100; ++i) {
      const ssize_t sent =
          ::send(greedy.get(), query.data(), query.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < static_cast<ssize_t>(query.size())) break;
    }
    return fixture.stub_server->counters().tcp_closed.value() == 1;
  };
  CHECK(fixture.run_until(closed));
}

TEST_CASE("A server that goes takes its connections along") {
  StubFixture fixture;
  fixture.server.set_fault(DnsFault::hold);
  Stream stream(fixture);
  stream.send(framed(numbered(1)));
  REQUIRE(fixture.run_until([&] { return fixture.server.queries().size() >= 2; }));
  fixture.stub_server.reset();
  CHECK(stream.closes());
}
