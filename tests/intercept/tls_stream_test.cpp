// Handshakes and data of TlsStream, both ends ours.
#include "proxy/net/tls_stream.hpp"

#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "tests/intercept/tls_ends.hpp"

using namespace nono;
using namespace nono::test;

namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  return text;
}

Awaitable<Result<std::string>> echo_once(ByteStream& stream, std::size_t size) {
  auto text = co_await read_exactly(stream, size);
  if (!text) co_return fail(text.error());
  auto written = co_await stream.write_all(*text);
  if (!written) co_return fail(written.error());
  co_return *text;
}

// Copies what comes in pieces of `size` bytes, until the end.
Awaitable<Result<void>> copy_in_pieces(TcpStream& from, TcpStream& to, std::size_t size) {
  std::string buffer(16 * 1024, '\0');
  while (true) {
    auto count = co_await from.read_some(buffer);
    if (!count || *count == 0) break;
    for (std::size_t at = 0; at < *count; at += size) {
      const std::span<const char> piece(buffer.data() + at, std::min(size, *count - at));
      auto written = co_await to.write_all(piece);
      if (!written) co_return fail(written.error());
    }
  }
  co_return co_await to.shutdown_send();
}

Awaitable<Result<void>> close_well(TlsStream& stream) {
  co_await stream.close_gracefully();
  co_return Result<void>{};
}

}  // namespace

TEST_CASE("both ends agree on HTTP/1.1 and carry bytes both ways") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  CHECK(ends.client->alpn() == "http/1.1");
  CHECK(ends.server->alpn() == "http/1.1");
  CHECK_FALSE(ends.client->resumed());
  auto [sent, echoed] =
      loop.run_both(write_text(*ends.client, "hello"), echo_once(*ends.server, 5));
  REQUIRE(echoed);
  CHECK(*echoed == "hello");
  auto back = loop.start(read_exactly(*ends.client, 5));
  loop.run();
  CHECK(***back == "hello");
}

TEST_CASE("megabytes cross both ways at the same time") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  const int small = 16 * 1024;  // so that writes have to wait
  for (TlsStream* stream : {ends.client.get(), ends.server.get()}) {
    ::setsockopt(stream->tcp().native_handle(), SOL_SOCKET, SO_SNDBUF, &small,
                 sizeof small);
  }
  const std::string up = pattern(3'000'000), down = pattern(2'500'001);
  auto up_written = loop.start(write_text(*ends.client, up));
  auto down_written = loop.start(write_text(*ends.server, down));
  auto up_read = loop.start(read_exactly(*ends.server, up.size()));
  auto down_read = loop.start(read_exactly(*ends.client, down.size()));
  loop.run(60s);
  CHECK(**up_written);
  CHECK(**down_written);
  CHECK((***up_read == up));
  CHECK((***down_read == down));
}

TEST_CASE("a handshake succeeds however its bytes are cut") {
  Loop loop;
  Trusting trusting;
  const Host host = name("api.test");
  for (const std::size_t size : {1, 7, 600}) {
    auto [client_end, left] = loop.streams();
    auto [right, server_end] = loop.streams();
    auto client = loop.start(
        connect_to(std::move(client_end), *trusting.client, HostPort{host, https_port}, "cut"));
    auto server = loop.start(accept_from(std::move(server_end), *trusting.server, host));
    auto there = loop.start(copy_in_pieces(*left, *right, size));
    auto back = loop.start(copy_in_pieces(*right, *left, size));
    loop.until([&] { return *client && *server; });
    REQUIRE(**client);
    REQUIRE(**server);
    auto text = loop.start(read_exactly(****server, 5));
    auto written = loop.start(write_text(****client, "bytes"));
    loop.until([&] { return bool(*text); });
    CHECK(***text == "bytes");
    (***client)->close();
    (***server)->close();
    loop.run();
  }
}

TEST_CASE("bytes that were read before TLS began are used first") {
  Loop loop;
  Trusting trusting;
  const Host host = name("api.test");
  for (const std::size_t early : {1, 5, 100, 200}) {
    auto [near, far] = loop.streams();
    auto client = loop.start(
        connect_to(std::move(near), *trusting.client, HostPort{host, https_port}, "early"));
    auto first = loop.start(read_exactly(*far, early));
    loop.until([&] { return bool(*first); });
    auto server = loop.start(accept_from(std::move(far), *trusting.server, host, ***first));
    loop.run();
    CHECK(**client);
    CHECK(**server);
  }
}

TEST_CASE("an address is verified as an address, without SNI") {
  Loop loop;
  Trusting trusting;
  for (const char* text : {"127.0.0.1", "::1"}) {
    const Host host = *IpAddress::parse(text);
    auto [client, server] = shake(loop, *trusting.client, *trusting.server, host, host);
    CHECK(client);
    CHECK(server);
  }
}

TEST_CASE("a goodbye is an end, a cut is an error") {
  Loop loop;
  Trusting trusting;
  {
    Ends ends = connected(loop, trusting);
    auto [ended, text] = loop.run_both(ends.server->shutdown_send(), read_exactly(*ends.client, 1));
    CHECK(ended);
    REQUIRE(text);
    CHECK(text->empty());
    // The other direction still works.
    auto [written, heard] =
        loop.run_both(write_text(*ends.client, "late"), read_exactly(*ends.server, 4));
    CHECK(written);
    CHECK(*heard == "late");
  }
  Ends ends = connected(loop, trusting);
  ends.server->tcp().close();
  auto text = loop.start(read_exactly(*ends.client, 1));
  loop.run();
  REQUIRE_FALSE(**text);
  CHECK((**text).error().code == ErrorCode::closed);
  CHECK((**text).error().side == Side::upstream);
}

TEST_CASE("what was written before a cut is read before the error") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  auto written = loop.start(write_text(*ends.server, "last words"));
  loop.run();
  ends.server->tcp().close();
  auto text = loop.start(read_exactly(*ends.client, 10));
  loop.run();
  REQUIRE(**text);
  CHECK(***text == "last words");
}

TEST_CASE("closing gracefully loses nothing") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  const std::string body = pattern(100'000);
  auto written = loop.start(write_text(*ends.server, body));
  auto read = loop.start(read_exactly(*ends.client, body.size()));
  auto unread = loop.start(write_text(*ends.client, "never read"));
  loop.until([&] { return bool(*written); });
  auto closed = loop.start(close_well(*ends.server));
  loop.until([&] { return bool(*read); });
  CHECK((***read == body));
  auto end = loop.start(read_exactly(*ends.client, 1));
  loop.until([&] { return bool(*end); });
  CHECK(**end);  // a goodbye, no reset
  ends.client->close();
  loop.run();
}

TEST_CASE("sessions are resumed for the same identity and target only") {
  Loop loop;
  Trusting trusting;
  const auto exchange = [&](const std::string& identity) {
    Ends ends = connected(loop, trusting, identity);
    auto [written, read] =
        loop.run_both(write_text(*ends.server, "x"), read_exactly(*ends.client, 1));
    REQUIRE(read);
    return ends.client->resumed();
  };
  CHECK_FALSE(exchange("alice"));
  CHECK(trusting.client->remembered_sessions() == 1);
  CHECK(exchange("alice"));
  CHECK_FALSE(exchange("bob"));
  CHECK(exchange("bob"));
  CHECK(exchange("alice"));
  CHECK(trusting.client->remembered_sessions() == 2);
}

TEST_CASE("remembered sessions are bounded") {
  Loop loop;
  Trusting trusting;
  for (std::size_t i = 0; i < ClientTlsContext::sessions_max + 3; ++i) {
    Ends ends = connected(loop, trusting, std::to_string(i));
    auto [written, read] =
        loop.run_both(write_text(*ends.server, "x"), read_exactly(*ends.client, 1));
    REQUIRE(read);
  }
  CHECK(trusting.client->remembered_sessions() == ClientTlsContext::sessions_max);
}

TEST_CASE("a stream whose time is over ends whatever waits on it") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  ends.client->expires_after(50ms);
  auto read = loop.start(read_exactly(*ends.client, 1));
  loop.run();
  REQUIRE_FALSE(**read);
  CHECK((**read).error().code == ErrorCode::timeout);
  auto after = loop.start(write_text(*ends.client, "too late"));
  loop.run();
  REQUIRE_FALSE(**after);
  CHECK((**after).error().code == ErrorCode::timeout);
}

TEST_CASE("a writer whose peer does not read runs out of time") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  ends.client->expires_after(200ms);
  auto written = loop.start(write_text(*ends.client, pattern(64'000'000)));
  loop.run();
  REQUIRE_FALSE(**written);
  CHECK((**written).error().code == ErrorCode::timeout);
}

TEST_CASE("closing under a pending read ends it") {
  Loop loop;
  Trusting trusting;
  Ends ends = connected(loop, trusting);
  auto read = loop.start(read_exactly(*ends.client, 1));
  loop.io.poll();
  ends.client->close();
  loop.run();
  REQUIRE_FALSE(**read);
  CHECK((**read).error().code == ErrorCode::closed);
}

TEST_CASE("a context that ends with reads pending frees everything") {
  Trusting trusting;
  Loop loop;
  Ends ends = connected(loop, trusting);
  auto read = loop.start(read_exactly(*ends.client, 1));
  auto waiting = loop.start(
      accept_from(std::move(loop.streams().first), *trusting.server, Host(name("api.test"))));
  loop.io.poll();
  CHECK_FALSE(*read);
}

TEST_CASE("between two messages a stream is quiet, tickets or not, until its peer speaks or says goodbye") {
  Loop loop;
  Trusting trusting;
  SECTION("data") {
    Ends ends = connected(loop, trusting);
    CHECK(ends.client->is_quiet());  // though the server's ticket waits to be read
    CHECK(ends.client->is_quiet());
    auto written = loop.start(write_text(*ends.server, "x"));
    loop.run();
    REQUIRE(**written);
    loop.until([&] { return !ends.client->is_quiet(); });
    auto read = loop.start(read_exactly(*ends.client, 1));
    loop.run();
    REQUIRE(**read);
    CHECK(***read == "x");
    CHECK(ends.client->is_quiet());
  }
  SECTION("a goodbye without the end of the connection") {
    // What some servers do when they are done with a connection.
    Ends ends = connected(loop, trusting);
    CHECK(ends.client->is_quiet());
    ends.server->say_goodbye();
    loop.until([&] { return !ends.client->is_quiet(); });
    CHECK_FALSE(ends.client->peer_ended());
  }
  SECTION("the end of the connection without a goodbye") {
    Ends ends = connected(loop, trusting);
    CHECK(ends.client->is_quiet());
    ends.server->close();
    loop.until([&] { return !ends.client->is_quiet(); });
  }
}
