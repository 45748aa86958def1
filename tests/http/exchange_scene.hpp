#pragma once
// A client and an upstream, both fake, around one exchange.

#include <catch2/catch.hpp>

#include "proxy/http/exchange.hpp"
#include "tests/support/fake_stream.hpp"
#include "tests/support/run_coroutine.hpp"

namespace nono::http::test {

using nono::test::FakeStream;
using nono::test::run_coroutine;

inline const HeadLimits limits;
inline const ExchangeTimes times{std::chrono::seconds{300}, std::chrono::seconds{600}};

class UpperCase final : public BodyFilter {
 public:
  Result<void> feed(std::string_view in, std::string& out) override {
    for (const char byte : in)
      out += byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte;
    return {};
  }
  Result<void> finish(std::string&) override { return {}; }
};

class RefuseWord final : public BodyFilter {
 public:
  Result<void> feed(std::string_view in, std::string& out) override {
    if (in.find("stolen") != std::string_view::npos)
      return fail(ErrorCode::refused, "that must not leave", {}, Side::client);
    out += in;
    return {};
  }
  Result<void> finish(std::string&) override { return {}; }
};

struct Hooks final : ExchangeHooks {
  Result<std::unique_ptr<BodyFilter>> on_response(ResponseHead& response) override {
    ++calls;
    status = response.status;
    if (refuse) return fail(ErrorCode::refused, "not this response");
    if (!add.empty()) response.fields.set(add, "yes");
    if (filter) return std::make_unique<UpperCase>();
    return nullptr;
  }
  BodyFilter* request_filter() override { return on_request; }

  bool filter = false, refuse = false;
  std::string add;
  BodyFilter* on_request = nullptr;
  int calls = 0, status = 0;
};

// A client and an upstream around one exchange.
struct Scene {
  net::io_context io{1};
  FakeStream client{io.get_executor()};
  FakeStream upstream{io.get_executor()};
  Poller& poller = net::use_service<Poller>(io);
  InputBuffer client_in, upstream_in;
  Hooks hooks;
  ExchangeResult result;
  RequestHead request;
  std::string upgrade;

  // Reads the request's head as a session would, then forwards it.
  Result<void> run() {
    auto head = run_coroutine(io, read_request_head(client, client_in, limits));
    REQUIRE(head);
    request = std::move(*head);
    remove_hop_by_hop(request.fields);
    return again();
  }
  Result<void> again() {
    result = ExchangeResult{};
    return run_coroutine(io, exchange(poller, client, client_in, request, upgrade, upstream,
                                      upstream_in, limits, times, hooks, result));
  }
  // The upstream sends `response` once it has been sent `text`.
  void answer(const std::string& text, const std::string& response) {
    upstream.when_written(text, [this, response] { upstream.receive(response); });
  }
};

inline const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
inline const std::string head_end = "\r\n\r\n";

inline std::string post(const std::string& body, const std::string& fields = {}) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace nono::http::test
