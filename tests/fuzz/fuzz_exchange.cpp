// One exchange over streams in memory: whatever the upstream sends, the client gets a response that
// is whole, or visibly cut off, or none; and the upstream gets the client's request and nothing
// else. Bytes: which request, what is done to it, where the streams are cut; then up to "\n--\n" a
// request that takes the built one's place, if there is any, and the upstream's bytes.
#include <optional>

#include "proxy/http/chunked.hpp"
#include "proxy/http/exchange.hpp"
#include "tests/fuzz/heads.hpp"
#include "tests/support/fake_stream.hpp"
#include "tests/support/run_coroutine.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;
using namespace nono::http;
using nono::test::FakeStream;
using nono::test::run_coroutine;

const std::vector<std::string> requests = {
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"};

class UpperCase final : public BodyFilter {
 public:
  Result<void> feed(std::string_view in, std::string& out) override {
    out += upper(in);
    return {};
  }
  Result<void> finish(std::string&) override { return {}; }
};

struct Hooks final : ExchangeHooks {
  Result<std::unique_ptr<BodyFilter>> on_response(ResponseHead&) override {
    if (filtered) return std::make_unique<UpperCase>();
    return nullptr;
  }
  bool filtered = false;
};

// A message behind its head, read by a framing.
struct Body {
  std::string content;
  bool whole = false;
  std::size_t used = 0;
};

Body read_body(std::string_view bytes, const Framing& framing) {
  Body body;
  if (framing.kind == Framing::Kind::chunked) {
    std::string decoded(bytes);
    ChunkDecoder decoder;
    ChunkDecoder::Progress progress;
    const char* wrong = decoder.decode(bytes, decoded.data(), progress);
    body = {decoded.substr(0, progress.content), wrong == nullptr && decoder.done(), progress.used};
  } else {
    const std::size_t size = framing.kind == Framing::Kind::until_close
                                 ? bytes.size()
                                 : std::min<std::uint64_t>(framing.length, bytes.size());
    body = {std::string(bytes.substr(0, size)), size == framing.length, size};
    if (framing.kind != Framing::Kind::length) body.whole = true;
  }
  return body;
}

// Responses as a strict client reads them: the interim ones, then a final one if it is there.
struct View {
  std::size_t interim = 0;
  std::optional<ResponseHead> final;
  Body body;
  bool clean = true;  // nothing that is no response, nothing behind the end
};

View read_responses(std::string_view bytes, std::string_view method) {
  View view;
  HeadLimits limits;
  limits.head_bytes_max += 4096;
  limits.fields_max += 4;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find("\r\n\r\n");
    auto head =
        parse_response_head(bytes.substr(0, end == bytes.npos ? end : end + 4), limits, method);
    view.clean = head.has_value();
    if (!view.clean) return view;
    bytes.remove_prefix(end + 4);
    if (head->status < 200 && head->status != 101) {
      ++view.interim;
      continue;
    }
    view.final = std::move(*head);
    if (view.final->status != 101) {
      view.body = read_body(bytes, view.final->framing);
      view.clean = view.body.used == bytes.size();
    }
    return view;
  }
  return view;
}

struct Run {
  bool ok = false;
  ExchangeResult result;
  View view;
  std::string upstream_got;
  RequestHead request;
};

// Nothing where the request is none.
std::optional<Run> exchange_once(std::string_view client_bytes, std::string_view upstream_bytes,
                                 bool filtered, std::uint8_t seed) {
  net::io_context io{1};
  FakeStream client{io.get_executor()}, upstream{io.get_executor()};
  InputBuffer client_in, upstream_in;
  for (const std::string_view piece : split(client_bytes, seed)) client.receive(piece);
  client.receive_end();
  for (const std::string_view piece : split(upstream_bytes, seed)) upstream.receive(piece);
  upstream.receive_end();
  const HeadLimits limits;
  auto head = run_coroutine(io, read_request_head(client, client_in, limits));
  if (!head || head->method == "CONNECT") return std::nullopt;
  Run run;
  const std::string upgrade = head->fields.count("Upgrade") == 1 ? "websocket" : "";
  remove_hop_by_hop(head->fields);
  if (head->fields.find("Host") == nullptr) head->fields.add("Host", "a");  // HTTP/1.0
  run.request = std::move(*head);
  Hooks hooks;
  hooks.filtered = filtered;
  const ExchangeTimes times;
  const auto outcome =
      run_coroutine(io, exchange(net::use_service<Poller>(io), client, client_in, run.request,
                                 upgrade, upstream, upstream_in, limits, times, hooks, run.result));
  run.ok = outcome.has_value();
  run.view = read_responses(client.written(), run.request.method);
  run.upstream_got = upstream.written();
  return run;
}

void expect_honest_response(const Run& run, std::string_view upstream_bytes, bool filtered) {
  const View& view = run.view;
  if (!run.result.response_started) {
    expect(!view.final.has_value() && !run.ok);
    return;
  }
  expect(view.clean && view.final.has_value());
  expect(view.final->status == run.result.status);
  for (const char* name : {"Keep-Alive", "Proxy-Authenticate", "Trailer", "TE"})
    expect(view.final->fields.count(name) == 0);
  if (run.result.upgraded) {
    expect(run.ok && view.final->status == 101);
    return;
  }
  const bool visible = view.final->framing.kind != Framing::Kind::until_close;
  expect(view.body.whole == run.ok || (!visible && !run.ok));
  if (!run.ok) {
    expect(!run.result.client_reusable && !run.result.upstream_reusable);
    return;
  }
  expect(!run.result.client_reusable || visible);
  const View sent = read_responses(upstream_bytes, run.request.method);
  expect(sent.final.has_value() && sent.final->status == view.final->status);
  expect(view.body.content == (filtered ? upper(sent.body.content) : sent.body.content));
  expect(sent.body.whole);
  if (run.result.upstream_reusable) expect(sent.final->framing.kind != Framing::Kind::until_close);
}

void expect_honest_request(const Run& run, std::string_view client_bytes) {
  if (run.upstream_got.empty()) return;
  const std::size_t end = run.upstream_got.find("\r\n\r\n");
  expect(end != std::string::npos);
  HeadLimits limits;
  limits.head_bytes_max += 1024;
  limits.fields_max += 2;
  const auto got =
      parse_request_head(std::string_view(run.upstream_got).substr(0, end + 4), limits);
  expect(got.has_value() && got->method == run.request.method && got->target == run.request.target);
  expect(got->framing.kind == run.request.framing.kind);
  const Body body = read_body(std::string_view(run.upstream_got).substr(end + 4), got->framing);
  expect(body.used == run.upstream_got.size() - end - 4);
  if (client_bytes.starts_with("\r\n")) client_bytes.remove_prefix(2);
  const std::size_t asked = client_bytes.find("\r\n\r\n");
  const Body sent = read_body(client_bytes.substr(asked + 4), run.request.framing);
  if (body.whole) expect(sent.whole && body.content == sent.content);
  expect(sent.content.starts_with(body.content));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::string& built = requests[input.choice(requests.size())];
  const bool filtered = input.coin();
  const std::uint8_t seed = input.byte();
  std::string_view client_bytes = input.text_until("\n--\n");
  const bool usual = client_bytes.empty();
  if (usual) client_bytes = built;
  const auto whole = exchange_once(client_bytes, input.rest(), filtered, 0);
  if (!whole) return 0;
  expect_honest_response(*whole, input.rest(), filtered);
  expect_honest_request(*whole, client_bytes);
  const auto cut = exchange_once(client_bytes, input.rest(), filtered, seed);
  expect(cut.has_value());
  expect_honest_response(*cut, input.rest(), filtered);
  expect_honest_request(*cut, client_bytes);
  if (!usual) return 0;
  expect(whole->ok == cut->ok);
  if (whole->ok) expect(whole->view.body.content == cut->view.body.content);
  return 0;
}
