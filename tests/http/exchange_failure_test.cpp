// One request forwarded: early answers, failures, and what must not happen.
#include "tests/http/exchange_scene.hpp"

using namespace nono;
using namespace nono::http;
using namespace nono::http::test;
using namespace std::chrono_literals;

TEST_CASE("interim responses without end are not followed") {
  Scene scene;
  scene.client.receive(get);
  std::string endless;
  for (int i = 0; i < 100; ++i) endless += "HTTP/1.1 102 Processing\r\n\r\n";
  scene.answer(head_end, endless);
  auto outcome = scene.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::bad_response);
  CHECK_FALSE(scene.result.response_started);
}

TEST_CASE("an early answer is relayed while the body is still on its way") {
  Scene scene;
  scene.client.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  scene.client.receive(std::string(30'000, 'x'));
  scene.answer("xxx", "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
  // The client ends its body only when it has read the answer.
  scene.client.when_written("big", [&] { scene.client.receive(std::string(70'000, 'y')); });
  REQUIRE(scene.run());
  CHECK(scene.result.status == 413);
  CHECK(scene.client.written() ==
        "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
  CHECK_FALSE(scene.result.client_reusable);
  // What the client still had to say was taken, so that it gets to reading.
  CHECK(scene.client.all_read());
}

TEST_CASE("after an early answer a client that sends nothing more is not waited for") {
  Scene scene;
  scene.client.receive(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  scene.answer("abc", "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(scene.run());
  CHECK_FALSE(scene.result.client_reusable);
  CHECK_FALSE(scene.result.upstream_reusable);
  CHECK_FALSE(scene.client.reading());
}

TEST_CASE("an upstream that answers and stops reading does not hold the answer up") {
  Scene scene;
  scene.client.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  scene.client.receive(std::string(50'000, 'x'));
  scene.upstream.block_writes();
  scene.upstream.receive("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(scene.run());
  CHECK(scene.result.status == 401);
  CHECK_FALSE(scene.result.client_reusable);
  CHECK_FALSE(scene.result.upstream_reusable);
}

TEST_CASE("an answer sent before the upstream closed its ears is still read") {
  Scene scene;
  scene.client.receive(post("hello"));
  scene.upstream.receive("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
  scene.upstream.receive_end();
  REQUIRE(scene.upstream.operations() == 0);
  run_coroutine(scene.io, scene.upstream.shutdown_send());  // writes to it fail from now on
  REQUIRE(scene.run());
  CHECK(scene.result.status == 413);
  CHECK_FALSE(scene.result.upstream_reusable);
}

TEST_CASE("bytes behind a response without a body never reach a client, nor the next request") {
  for (const std::string response :
       {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\n\r\nhello", "HTTP/1.1 304 Not Modified\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
        "4\r\n\r\nevil"}) {
    INFO(response);
    Scene scene;
    scene.client.receive(get);
    scene.answer(head_end, response);
    REQUIRE(scene.run());
    CHECK(scene.client.written().find("hello") == std::string::npos);
    CHECK(scene.client.written().find("evil") == std::string::npos);
    CHECK(scene.result.client_reusable);
    CHECK_FALSE(scene.result.upstream_reusable);
  }
}

TEST_CASE("a response that came before its request is not believed") {
  Scene scene;
  scene.client.receive(get);
  scene.upstream_in.append("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  auto outcome = scene.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::bad_response);
  CHECK(scene.client.written().empty());
  CHECK(scene.upstream.written().empty());
}

TEST_CASE("an upgrade that nobody asked for, or to something else, is refused") {
  for (const std::string upgrade : {"", "websocket"}) {
    Scene scene;
    scene.upgrade = upgrade;
    scene.client.receive(get);
    scene.answer(head_end,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n");
    auto outcome = scene.run();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::bad_response);
    CHECK(scene.client.written().empty());
    CHECK_FALSE(scene.result.upgraded);
  }
}

TEST_CASE("nothing of a response that cannot be framed reaches the client") {
  for (const std::string response :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"}) {
    INFO(response);
    Scene scene;
    scene.client.receive(get);
    scene.answer(head_end, response);
    auto outcome = scene.run();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::bad_response);
    CHECK(outcome.error().side == Side::upstream);
    CHECK(scene.client.written().empty());
    CHECK_FALSE(scene.result.response_started);
    CHECK_FALSE(scene.result.upstream_reusable);
    CHECK_FALSE(scene.result.upstream_was_stale);
  }
}

TEST_CASE("a response cut off in its body is an error and never looks complete") {
  for (const std::string response :
       {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 50001\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
    INFO(response);
    Scene scene;
    scene.client.receive(get);
    scene.upstream.when_written(head_end, [&] {
      scene.upstream.receive(response);
      scene.upstream.receive_end();
    });
    auto outcome = scene.run();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().side == Side::upstream);
    CHECK(scene.client.written().find("0\r\n\r\n") == std::string::npos);
    CHECK_FALSE(scene.result.client_reusable);
    CHECK_FALSE(scene.result.upstream_reusable);
  }
}

TEST_CASE("a stale upstream is told from a failing one, and the same request can be sent again") {
  Scene scene;
  scene.client.receive(post("hello"));
  scene.upstream.receive_end();
  auto outcome = scene.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::closed);
  CHECK(outcome.error().side == Side::upstream);
  CHECK(scene.result.upstream_was_stale);
  CHECK_FALSE(scene.result.response_started);

  FakeStream fresh(scene.io.get_executor());
  fresh.when_written("hello",
                     [&] { fresh.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); });
  ExchangeResult result;
  REQUIRE(run_coroutine(
      scene.io, exchange(scene.poller, scene.client, scene.client_in, scene.request, "", fresh,
                         scene.upstream_in, limits, times, scene.hooks, result)));
  CHECK(fresh.written() == post("hello"));
  CHECK(result.client_reusable);

  Scene half;
  half.client.receive(get);
  half.upstream.receive("HTTP/1.1 2");
  half.upstream.receive_end();
  REQUIRE_FALSE(half.run());
  CHECK_FALSE(half.result.upstream_was_stale);

  Scene interim;
  interim.client.receive(get);
  interim.upstream.receive("HTTP/1.1 100 Continue\r\n\r\n");
  interim.upstream.receive_end();
  REQUIRE_FALSE(interim.run());
  CHECK_FALSE(interim.result.upstream_was_stale);

  // A body that has been used up cannot be sent twice.
  Scene used;
  used.client.receive(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  used.upstream.when_written("abc", [&] { used.upstream.receive_end(); });
  REQUIRE_FALSE(used.run());
  CHECK_FALSE(used.result.upstream_was_stale);
}

TEST_CASE("a client that leaves in the middle of its body ends the exchange as its own fault") {
  Scene scene;
  scene.client.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  scene.client.receive_end();
  auto outcome = scene.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().side == Side::client);
  CHECK(scene.upstream.closed());
  CHECK_FALSE(scene.result.upstream_reusable);
  CHECK_FALSE(scene.result.upstream_was_stale);

  Scene brief;
  brief.client.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  brief.client.receive_end();
  outcome = brief.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().side == Side::client);
  CHECK(brief.upstream.written().empty());
}

TEST_CASE(
    "a malformed chunk from the client ends the exchange, and the upstream gets no last chunk") {
  Scene scene;
  scene.client.receive(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  scene.client.receive("zz\r\n");
  auto outcome = scene.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::bad_request);
  CHECK(outcome.error().side == Side::client);
  CHECK(scene.upstream.written().find("0\r\n\r\n") == std::string::npos);
  CHECK(scene.upstream.closed());
  CHECK_FALSE(scene.client.closed());  // it can still be told
}

TEST_CASE("a response that fails while the client still sends frees the client for a refusal") {
  Scene scene;
  scene.client.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  scene.answer("abc", "garbage");
  auto outcome = scene.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::bad_response);
  CHECK_FALSE(scene.client.reading());
  CHECK_FALSE(scene.client.closed());
  CHECK_FALSE(scene.result.response_started);
}

TEST_CASE("each phase has its time") {
  Scene waiting;
  waiting.client.receive(get);
  waiting.upstream.when_written(head_end, [&] {
    CHECK(waiting.upstream.deadline() == times.first_byte);
    CHECK(waiting.client.deadline() > times.first_byte);
    waiting.upstream.expire();
  });
  auto outcome = waiting.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::timeout);
  CHECK(outcome.error().side == Side::upstream);
  CHECK_FALSE(waiting.result.upstream_was_stale);

  Scene slow_reader;
  slow_reader.client.receive(get);
  slow_reader.client.block_writes();
  slow_reader.answer(head_end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  net::post(slow_reader.io, [&] { slow_reader.io.get_executor(); });
  SteadyTimer later(slow_reader.io.get_executor());
  later.expires_after(20ms);
  later.async_wait([&](ErrorCodeSys) {
    CHECK(slow_reader.client.deadline() == times.idle);
    slow_reader.client.expire();
  });
  outcome = slow_reader.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::timeout);
  CHECK(outcome.error().side == Side::client);

  Scene slow_sender;
  slow_sender.client.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  slow_sender.upstream.when_written("abc", [&] { slow_sender.client.expire(); });
  outcome = slow_sender.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::timeout);
  CHECK(outcome.error().side == Side::client);
}

TEST_CASE("a filter of the request's body can stop it before it has left") {
  RefuseWord filter;
  Scene brief;
  brief.hooks.on_request = &filter;
  brief.client.receive(post("a stolen key"));
  auto outcome = brief.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::refused);
  CHECK(brief.upstream.written().empty());
  CHECK_FALSE(brief.result.response_started);

  Scene streamed;
  streamed.hooks.on_request = &filter;
  streamed.client.receive(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  streamed.client.receive("6\r\nstolen\r\n0\r\n\r\n");
  outcome = streamed.run();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::refused);
  CHECK(streamed.upstream.written().find("stolen") == std::string::npos);
  CHECK(streamed.upstream.written().find("0\r\n\r\n") == std::string::npos);
  CHECK(streamed.upstream.closed());

  Scene passed;
  passed.hooks.on_request = &filter;
  passed.client.receive(post("hello"));
  passed.answer("hello", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(passed.run());
  CHECK(passed.upstream.written() == post("hello"));
}

TEST_CASE("wherever an operation fails, the exchange ends with an error or without reuse") {
  const auto play = [](int client_fails, int upstream_fails) {
    Scene scene;
    scene.client.receive(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    scene.client.receive("0\r\n\r\n");
    auto head = run_coroutine(scene.io, read_request_head(scene.client, scene.client_in, limits));
    scene.request = *head;
    scene.answer("0\r\n\r\n",
                 "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    scene.client.when_written("200 OK", [&] { scene.upstream.receive("1\r\nx\r\n0\r\n\r\n"); });
    if (client_fails) scene.client.fail_at(client_fails);
    if (upstream_fails) scene.upstream.fail_at(upstream_fails);
    auto outcome = scene.again();
    CHECK_FALSE(scene.client.reading());
    CHECK_FALSE(scene.upstream.reading());
    if (!outcome) CHECK_FALSE(scene.result.client_reusable);
    return outcome.has_value() && scene.result.client_reusable && scene.result.upstream_reusable;
  };
  CHECK(play(0, 0));
  int failed = 0;
  for (int n = 1; n <= 8; ++n) {
    failed += !play(n, 0);
    failed += !play(0, n);
  }
  CHECK(failed >= 6);
}
