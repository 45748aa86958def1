// One request forwarded and its response brought back: what must happen.
#include "tests/http/exchange_scene.hpp"

using namespace nono;
using namespace nono::http;
using namespace nono::http::test;
using namespace std::chrono_literals;

TEST_CASE("a request without a body costs one write each way") {
  Scene scene;
  scene.client.receive(get);
  scene.answer(head_end, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello");
  REQUIRE(scene.run());
  CHECK(scene.upstream.writes() == std::vector<std::string>{get});
  CHECK(scene.client.writes() ==
        std::vector<std::string>{"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello"});
  CHECK(scene.result.status == 200);
  CHECK(scene.result.client_reusable);
  CHECK(scene.result.upstream_reusable);
  CHECK(scene.result.response_started);
  CHECK_FALSE(scene.result.upgraded);
  CHECK(scene.result.bytes_to_upstream == get.size());
  CHECK(scene.result.bytes_to_client == scene.client.written().size());
  CHECK(scene.hooks.calls == 1);
}

TEST_CASE("a response comes through whole however its bytes are split") {
  const std::vector<std::string> responses = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: x\r\n\r\n",
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"};
  for (const std::string& response : responses) {
    for (std::size_t i = 1; i < response.size(); ++i) {
      INFO(response << "\nsplit at " << i);
      Scene scene;
      scene.client.receive(get);
      scene.upstream.when_written(head_end, [&] { scene.upstream.receive_split(response, {i}); });
      REQUIRE(scene.run());
      CHECK(scene.result.client_reusable);
      CHECK(scene.result.upstream_reusable);
      const bool in_chunks = response.find("chunked") != std::string::npos;
      std::string content;  // of what the client got, chunk framing left out
      const std::string& written = scene.client.written();
      for (const char byte : written.substr(written.find("\r\n\r\n", written.rfind("HTTP/1.1"))))
        if (byte >= 'a' && byte <= 'z') content += byte;
      CHECK(content == (response.find("hello") != std::string::npos ? "hello" : ""));
      CHECK(written.ends_with("0\r\n\r\n") == in_chunks);
    }
  }
}

TEST_CASE("a short body leaves with its head, be it there or a read away") {
  const std::string bytes = post("hello");
  for (const std::size_t split : {bytes.size(), bytes.size() - 5, bytes.size() - 2}) {
    Scene scene;
    if (split < bytes.size()) {
      scene.client.receive_split(bytes, {split});
    } else {
      scene.client.receive(bytes);
    }
    scene.answer("hello", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    REQUIRE(scene.run());
    CHECK(scene.upstream.writes() == std::vector<std::string>{bytes});
    CHECK(scene.result.client_reusable);
    CHECK(scene.result.upstream_reusable);
    CHECK(scene.client_in.empty());
  }
}

TEST_CASE("a body in many pieces is passed on, and what follows stays for the next request") {
  const std::string body(200'000, 'b');
  Scene scene;
  const std::string bytes = post(body);
  for (std::size_t i = 0; i < bytes.size(); i += 10'000)
    scene.client.receive(bytes.substr(i, 10'000));
  scene.client.receive(get);
  scene.upstream.when_written(
      body, [&] { scene.upstream.receive("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"); });
  REQUIRE(scene.run());
  CHECK(scene.upstream.written() == bytes);
  CHECK(scene.result.status == 201);
  CHECK(scene.result.client_reusable);
  CHECK(scene.result.upstream_reusable);
  CHECK(scene.result.bytes_to_upstream == bytes.size());

  // The next request on both connections.
  scene.answer("GET / ", "HTTP/1.1 204 No Content\r\n\r\n");
  REQUIRE(scene.run());
  CHECK(scene.result.status == 204);
}

TEST_CASE("a chunked request body is passed on chunked and nothing of its extensions or trailers") {
  Scene scene;
  scene.client.receive("PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  scene.client.receive("3;secret=1\r\nabc\r\n");
  scene.client.receive("2\r\nde\r\n0\r\nContent-Length: 3\r\n\r\n");
  scene.answer("0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(scene.run());
  CHECK(scene.upstream.written() ==
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  CHECK(scene.result.client_reusable);
  CHECK(scene.result.upstream_reusable);
}

TEST_CASE("an empty chunked body leaves both connections usable") {
  Scene scene;
  scene.client.receive("PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  scene.answer("0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(scene.run());
  CHECK(scene.result.client_reusable);
  CHECK(scene.result.upstream_reusable);
}

TEST_CASE("pipelined requests are answered in their order") {
  Scene scene;
  scene.client.receive(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
      "abcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 1; i <= 3; ++i) {
    const std::string n = std::to_string(i);
    scene.answer("/" + n + " ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + n);
    REQUIRE(scene.run());
    CHECK(scene.client.writes().size() == static_cast<std::size_t>(i));
    CHECK(scene.client.writes().back().ends_with("\r\n\r\n" + n));
  }
  CHECK(scene.upstream.written().find("abcGET /3") != std::string::npos);
}

TEST_CASE("a client that expects a 100 gets it, and then its body goes on") {
  Scene scene;
  scene.client.receive(
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  scene.answer("Expect: 100-continue", "HTTP/1.1 100 Continue\r\n\r\n");
  scene.client.when_written("100 Continue", [&] { scene.client.receive("hello"); });
  scene.answer("hello", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(scene.run());
  CHECK(scene.client.writes() ==
        std::vector<std::string>{"HTTP/1.1 100 Continue\r\n\r\n",
                                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"});
  CHECK(scene.result.client_reusable);
  CHECK(scene.result.upstream_reusable);
}

TEST_CASE("a refusal instead of the 100 is relayed and the body that never came closes both") {
  Scene scene;
  scene.client.receive(
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  scene.answer("Expect", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
  REQUIRE(scene.run());
  CHECK(scene.client.written() ==
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  CHECK_FALSE(scene.result.client_reusable);
  CHECK_FALSE(scene.result.upstream_reusable);
  CHECK_FALSE(scene.client.reading());
  CHECK_FALSE(scene.client.closed());
}

TEST_CASE("interim responses reach only who knows them, a 100 only who asked for it") {
  const std::string interim =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  const std::string last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  Scene modern;
  modern.client.receive(get);
  modern.answer(head_end, interim + last);
  REQUIRE(modern.run());
  CHECK(modern.client.written() == "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + last);
  CHECK(modern.hooks.calls == 1);
  CHECK(modern.hooks.status == 200);

  Scene old;
  old.client.receive("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  old.answer(head_end, interim + last);
  REQUIRE(old.run());
  CHECK(old.client.written() ==
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

TEST_CASE("request and response bodies move at the same time") {
  Scene scene;
  scene.client.receive(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  scene.answer("1\r\na\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n");
  scene.client.when_written("A", [&] { scene.client.receive("1\r\nb\r\n0\r\n\r\n"); });
  scene.answer("1\r\nb\r\n", "1\r\nB\r\n0\r\n\r\n");
  REQUIRE(scene.run());
  CHECK(scene.client.written() ==
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: "
        "close\r\n\r\n1\r\nA\r\n1\r\nB\r\n0\r\n\r\n");
  CHECK(scene.upstream.written().ends_with("1\r\na\r\n1\r\nb\r\n0\r\n\r\n"));
}

TEST_CASE("a streamed response is passed on piece by piece") {
  Scene scene;
  scene.client.receive(get);
  scene.answer(head_end, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  scene.client.when_written("chunked\r\n\r\n", [&] { scene.upstream.receive("7\r\ndata: 1\r\n"); });
  scene.client.when_written("data: 1", [&] { scene.upstream.receive("7\r\ndata: 2\r\n"); });
  scene.client.when_written("data: 2", [&] { scene.upstream.receive("0\r\n\r\n"); });
  REQUIRE(scene.run());
  CHECK(scene.client.writes().size() == 4);
  CHECK(scene.result.client_reusable);
  CHECK(scene.result.upstream_reusable);
}

TEST_CASE("responses without a body end with their head") {
  for (const char* line : {"204 No Content", "304 Not Modified"}) {
    Scene scene;
    scene.client.receive(get);
    scene.answer(head_end, std::string("HTTP/1.1 ") + line + "\r\nX: y\r\n\r\n");
    REQUIRE(scene.run());
    CHECK(scene.client.written() == std::string("HTTP/1.1 ") + line + "\r\nX: y\r\n\r\n");
    CHECK(scene.result.client_reusable);
    CHECK(scene.result.upstream_reusable);
  }
  Scene head;
  head.client.receive("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  head.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  REQUIRE(head.run());
  CHECK(head.client.written() == "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  CHECK(head.result.client_reusable);
  CHECK(head.result.upstream_reusable);
}

TEST_CASE("a body until close becomes chunked for HTTP/1.1 and stays so for HTTP/1.0") {
  Scene modern;
  modern.client.receive(get);
  modern.upstream.when_written(head_end, [&] {
    modern.upstream.receive("HTTP/1.1 200 OK\r\n\r\nhello");
    modern.upstream.receive_end();
  });
  REQUIRE(modern.run());
  CHECK(modern.client.written() ==
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  CHECK(modern.result.client_reusable);
  CHECK_FALSE(modern.result.upstream_reusable);

  Scene old;
  old.client.receive("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  old.answer(head_end,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  REQUIRE(old.run());
  CHECK(old.upstream.written() == get);
  CHECK(old.client.written() == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
  CHECK_FALSE(old.result.client_reusable);
  CHECK(old.result.upstream_reusable);
}

TEST_CASE("HTTP/1.0 clients that ask for it are kept where the length is known") {
  Scene scene;
  scene.client.receive("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  scene.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(scene.run());
  CHECK(scene.client.written() ==
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok");
  CHECK(scene.result.client_reusable);
}

TEST_CASE("who asks to close is closed, the other side is not") {
  Scene client;
  client.client.receive("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  client.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(client.run());
  CHECK(client.upstream.written() == get);
  CHECK(client.client.written() ==
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  CHECK_FALSE(client.result.client_reusable);
  CHECK(client.result.upstream_reusable);

  Scene upstream;
  upstream.client.receive(get);
  upstream.answer(head_end, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(upstream.run());
  CHECK(upstream.client.written() == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(upstream.result.client_reusable);
  CHECK_FALSE(upstream.result.upstream_reusable);

  Scene old;
  old.client.receive(get);
  old.answer(head_end, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(old.run());
  CHECK_FALSE(old.result.upstream_reusable);
}

TEST_CASE("hop-by-hop fields of a response stay behind") {
  Scene scene;
  scene.client.receive(get);
  scene.answer(
      head_end,
      "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
      "Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: T\r\nSet-Cookie: a\r\nSet-Cookie: "
      "b\r\n"
      "Content-Length: 0\r\n\r\n");
  REQUIRE(scene.run());
  CHECK(scene.client.written() ==
        "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("an upgrade that was asked for joins the two streams") {
  Scene scene;
  scene.upgrade = "websocket";
  scene.client.receive(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "
      "websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
  scene.answer(head_end,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: x\r\n\r\n\x81\x05hello");
  REQUIRE(scene.run());
  CHECK(scene.upstream.written() ==
        "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\nUpgrade: "
        "websocket\r\n\r\n");
  CHECK(scene.client.written() ==
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: "
        "upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(scene.result.upgraded);
  CHECK(scene.result.status == 101);
  CHECK_FALSE(scene.result.client_reusable);
  CHECK_FALSE(scene.result.upstream_reusable);
  CHECK(scene.upstream_in.unread() == "\x81\x05hello");  // for the relay
}

TEST_CASE("an upgrade that is declined is an ordinary response") {
  Scene scene;
  scene.upgrade = "websocket";
  scene.client.receive(get);
  scene.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(scene.run());
  CHECK_FALSE(scene.result.upgraded);
  CHECK(scene.result.client_reusable);
}

TEST_CASE("hooks see the final response, may edit it, filter it or refuse it") {
  Scene edited;
  edited.hooks.add = "X-Added";
  edited.client.receive(get);
  edited.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(edited.run());
  CHECK(edited.client.written() ==
        "HTTP/1.1 200 OK\r\nX-Added: yes\r\nContent-Length: 2\r\n\r\nok");

  Scene filtered;
  filtered.hooks.filter = true;
  filtered.client.receive(get);
  filtered.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  REQUIRE(filtered.run());
  CHECK(filtered.client.written() ==
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHELLO\r\n0\r\n\r\n");
  CHECK(filtered.result.client_reusable);

  Scene old;
  old.hooks.filter = true;
  old.client.receive("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  old.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  REQUIRE(old.run());
  CHECK(old.client.written() == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHELLO");

  Scene head;
  head.hooks.filter = true;
  head.client.receive("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  head.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  REQUIRE(head.run());
  CHECK(head.client.written() == "HTTP/1.1 200 OK\r\n\r\n");

  Scene refused;
  refused.hooks.refuse = true;
  refused.client.receive(get);
  refused.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  auto outcome = refused.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::refused);
  CHECK(refused.client.written().empty());
  CHECK_FALSE(refused.result.response_started);
}
