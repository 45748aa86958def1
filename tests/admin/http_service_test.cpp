// The little HTTP server, mostly from the side of clients that mean it no good.

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/admin/fixture.hpp"

namespace {

using namespace std::chrono_literals;
using nono::Awaitable;
using nono::admin::Request;
using nono::admin::Response;
using nono::admin::ServiceOptions;
using nono::test::body_of;
using nono::test::RawClient;
using nono::test::status_of;
using nono::test::TcpService;

// Says what it was asked.
Awaitable<Response> echo(Request request) {
  Response response;
  response.body = request.method + " " + request.path + " ?" + request.query + " " + request.body;
  co_return response;
}

const std::string head = "GET / HTTP/1.1\r\nHost: localhost\r\n";

TEST_CASE("requests of one connection are answered in turn") {
  const TcpService service(echo);
  RawClient client = service.connect();
  client.send(
      "GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
      "POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
      "DELETE /d HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(body_of(client.receive_one()) == "GET /a ?b=c ");
  CHECK(body_of(client.receive_one()) == "POST /p ? body");
  CHECK(body_of(client.receive_one()) == "POST /c ? abcde");
  CHECK(body_of(client.receive_one()) == "DELETE /d ? ");
}

TEST_CASE("HEAD gets the head of GET") {
  const TcpService service(echo);
  const std::string answer = service.connect().ask("HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(status_of(answer) == 200);
  CHECK(answer.find("Content-Length: 9\r\n") != std::string::npos);
  CHECK(body_of(answer).empty());
}

TEST_CASE("Connection: close and HTTP/1.0 end the connection") {
  const TcpService service(echo);
  RawClient closing = service.connect();
  closing.send(head + "Connection: close\r\n\r\n");
  CHECK(closing.receive_all().find("Connection: close\r\n") != std::string::npos);
  RawClient old = service.connect();
  old.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  CHECK(status_of(old.receive_all()) == 200);
}

TEST_CASE("a client that waits for it is told to go on") {
  const TcpService service(echo);
  RawClient client = service.connect();
  client.send(
      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  CHECK(client.receive_one() == "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  CHECK(body_of(client.receive_one()) == "POST / ? ok");
}

TEST_CASE("what is no request is refused, and the connection with it") {
  const TcpService service(echo);
  struct Case {
    std::string text;
    int status;
  };
  const std::vector<Case> cases = {
      {"\x16\x03\x01\x02\x00\x01", 400},
      {"GET / HTTP/1.1\nHost: localhost\n\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {head + "Host: localhost\r\n\r\n", 400},
      {head + "A : b\r\n\r\n", 400},
      {head + "A: b\r\n c\r\n\r\n", 400},
      {head + "A: " + std::string(1, 0) + "\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\nxx", 400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400},
      {"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
      {"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
      {"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 400},
  };
  for (const Case& one : cases) {
    INFO(one.text);
    const std::string answer = service.connect().ask(one.text + head + "\r\n");
    CHECK(status_of(answer) == one.status);
    CHECK(answer.find("Connection: close\r\n") != std::string::npos);
    // What came behind is not taken for another request.
    CHECK(answer.find("HTTP/1.1 200") == std::string::npos);
  }
}

TEST_CASE("heads, lines, fields and bodies over their bounds are refused") {
  const TcpService service(echo);
  const auto status = [&](const std::string& text) {
    return status_of(service.connect().ask(text));
  };
  CHECK(status("GET /" + std::string(5000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n") == 414);
  CHECK(status(head + "A: " + std::string(20'000, 'a') + "\r\n\r\n") == 431);
  std::string fields;
  for (int count = 0; count < 100; ++count) fields += "A: b\r\n";
  CHECK(status(head + fields + "\r\n") == 431);
  const std::string post = "POST / HTTP/1.1\r\nHost: localhost\r\n";
  CHECK(status(post + "Content-Length: 65537\r\n\r\n") == 413);
  CHECK(status(post + "Content-Length: 65536\r\n\r\n" + std::string(65536, 'x')) == 200);
  CHECK(status(post + "Content-Length: 999999999999999999\r\n\r\n") == 413);
  std::string chunks;
  for (int count = 0; count < 17; ++count) chunks += "1000\r\n" + std::string(4096, 'y') + "\r\n";
  CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n") == 413);
}

TEST_CASE("a head that arrives too slowly is answered 408") {
  ServiceOptions options;
  options.head_time_max = 300ms;
  const TcpService service(echo, options);
  RawClient client = service.connect();
  client.send("GET / HT");
  CHECK(status_of(client.receive_all()) == 408);
}

TEST_CASE("a body that does not come, and a connection that is not used, end by themselves") {
  ServiceOptions options;
  options.body_time_max = 300ms;
  options.keep_alive_time_max = 300ms;
  const TcpService service(echo, options);
  RawClient half = service.connect();
  half.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  CHECK(half.closed_by_peer());
  RawClient idle = service.connect();
  idle.send(head + "\r\n");
  CHECK(status_of(idle.receive_one()) == 200);
  CHECK(idle.closed_by_peer());
}

TEST_CASE("a client that does not read its answer is let go") {
  ServiceOptions options;
  options.write_time_max = 300ms;
  options.connections_max = 1;
  const auto large = [](Request) -> Awaitable<Response> {
    Response response;
    response.body = std::string(64 * 1024 * 1024, 'x');
    co_return response;
  };
  const TcpService service(large, options);
  RawClient deaf = service.connect();
  deaf.send(head + "\r\n");
  // Its place is free again once it was given up.
  std::string answer;
  for (int attempt = 0; attempt < 100 && status_of(answer) != 200; ++attempt) {
    RawClient next = service.connect();
    next.send(head + "\r\n");
    answer = next.receive_one().substr(0, 100);
    if (status_of(answer) != 200) ::poll(nullptr, 0, 50);
  }
  CHECK(status_of(answer) == 200);
}

TEST_CASE("more connections than there may be are answered 503") {
  ServiceOptions options;
  options.connections_max = 2;
  const TcpService service(echo, options);
  RawClient first = service.connect();
  RawClient second = service.connect();
  first.send(head + "\r\n");
  second.send(head + "\r\n");
  CHECK(status_of(first.receive_one()) == 200);
  CHECK(status_of(second.receive_one()) == 200);
  RawClient third = service.connect();
  const std::string answer = third.receive_all();
  CHECK(status_of(answer) == 503);
  CHECK(answer.find("Retry-After: 1\r\n") != std::string::npos);
  first.send(head + "\r\n");
  CHECK(status_of(first.receive_one()) == 200);
}

TEST_CASE("a page that points its own name here learns nothing") {
  ServiceOptions options;
  options.local_names_only = true;
  options.names = {"metrics.example"};
  const TcpService service(echo, options);
  const auto status = [&](const std::string& host) {
    return status_of(service.connect().ask("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"));
  };
  for (const char* good : {"127.0.0.1", "127.0.0.1:9090", "[::1]:9090", "localhost", "LOCALHOST:1",
                           "10.1.2.3", "metrics.example:80"}) {
    INFO(good);
    CHECK(status(good) == 200);
  }
  for (const char* bad : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "",
                          "metrics.example.evil.example", "xmetrics.example"}) {
    INFO(bad);
    CHECK(status(bad) == 421);
  }
  CHECK(status_of(service.connect().ask("GET / HTTP/1.0\r\n\r\n")) == 421);
}

TEST_CASE("a handler that takes its time holds up nobody else") {
  const auto slow = [](Request request) -> Awaitable<Response> {
    if (request.path == "/slow") {
      nono::SteadyTimer never(co_await nono::net::this_coro::executor);
      never.expires_after(1h);
      co_await never.async_wait(nono::as_result);
    }
    co_return Response{};
  };
  const TcpService service(slow);
  RawClient waiting = service.connect();
  waiting.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(status_of(service.get("/quick")) == 200);
}

TEST_CASE("a handler that throws costs its own connection only") {
  const auto faulty = [](Request request) -> Awaitable<Response> {
    if (request.path == "/bad") throw std::runtime_error("a bug");
    co_return Response{};
  };
  const TcpService service(faulty);
  CHECK(service.get("/bad").empty());
  CHECK(status_of(service.get("/good")) == 200);
}

TEST_CASE("the service answers when no descriptor is left") {
  const TcpService service(echo);
  CHECK(status_of(service.get("/")) == 200);
  RawClient waiting = service.connect();  // connected, perhaps not yet accepted
  CHECK(waiting.ask(head + "\r\n").starts_with("HTTP/1.1 200"));
  RawClient last = service.connect();
  CHECK(last.ask(head + "\r\n").starts_with("HTTP/1.1 200"));  // accepted, so nobody's turn
  // The client's own descriptor is there; now all others are taken.
  std::vector<nono::UniqueFd> taken;
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  tight.rlim_cur = 64;
  ::setrlimit(RLIMIT_NOFILE, &tight);
  for (nono::UniqueFd fd(::dup(0)); fd; fd = nono::UniqueFd(::dup(0)))
    taken.push_back(std::move(fd));
  taken.pop_back();
  RawClient client = service.connect();  // takes the last one
  const std::string answer = client.ask(head + "\r\n");
  taken.clear();
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(status_of(answer) == 200);
}

TEST_CASE("a problem is a JSON object whatever is in it") {
  const Response response = nono::admin::problem(400, "a \"quoted\"\n\xff text", "fix\\it");
  const auto body = nlohmann::json::parse(response.body);
  CHECK(body["status"] == 400);
  CHECK(body["title"] == "Bad Request");
  CHECK(body["fix"] == "fix\\it");
}

TEST_CASE("a service that ends takes its connections along") {
  RawClient client(0);
  {
    const TcpService service(echo);
    client = service.connect();
    client.send(head + "\r\n");
    CHECK(status_of(client.receive_one()) == 200);
  }
  CHECK(client.closed_by_peer());
}

}  // namespace
