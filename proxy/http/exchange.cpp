#include "proxy/http/exchange.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>

#include "config/base/secret.hpp"
#include "proxy/http/copy.hpp"
#include "proxy/http/lexical.hpp"
#include "proxy/http/scratch.hpp"
#include "proxy/http/serialize.hpp"
#include "proxy/net/turn.hpp"

namespace nono::http {

namespace {

// A body up to this size that is here already leaves with its head in one write.
constexpr std::size_t joined_body_bytes_max = 64 * 1024;
constexpr std::size_t usual_head_bytes = 512;
// A body up to this size is worth one read before its head is sent.
constexpr std::size_t awaited_body_bytes_max = 16 * 1024;
// Real servers send one or two interim responses; more is an attempt to keep us busy.
constexpr int interim_responses_max = 16;
// How long a client may go on sending a body whose response it has: many read only after they have
// sent.
constexpr int linger_ticks_max = 30;
constexpr std::chrono::milliseconds linger_tick{1000};
constexpr std::chrono::milliseconds cancel_again{50};

bool has_body(const RequestHead& request) {
  return request.framing.kind == Framing::Kind::chunked || request.framing.length > 0;
}

// One exchange under way: what its two directions share.
class Exchange {
 public:
  Exchange(Poller& poller, ByteStream& client, InputBuffer& client_in, const RequestHead& request,
           std::string_view upgrade, ByteStream& upstream, InputBuffer& upstream_in,
           const HeadLimits& limits, const ExchangeTimes& times, ExchangeHooks& hooks,
           ExchangeResult& result)
      : poller_(poller),
        client_(client),
        client_in_(client_in),
        request_(request),
        upgrade_(upgrade),
        upstream_(upstream),
        upstream_in_(upstream_in),
        limits_(limits),
        times_(times),
        hooks_(hooks),
        result_(result) {}

  Awaitable<Result<void>> run();
  Awaitable<Result<void>> run_straight(std::size_t body_bytes);

 private:
  bool misses_short_body() const;
  Awaitable<Result<void>> await_short_body();
  Result<void> append_request_body(std::string& out, std::size_t body_bytes);
  Awaitable<Result<void>> run_both_ways();
  Awaitable<Result<void>> send_request(BodyPump& pump);
  Awaitable<void> end_sending(BodyPump& pump, bool linger);
  Awaitable<Result<void>> respond();
  Awaitable<Result<void>> relay_interim(ResponseHead& head);
  Awaitable<Result<void>> relay_upgrade(ResponseHead& head);
  Awaitable<Result<void>> relay_final(ResponseHead& head);

  HeadText request_head() const;
  Framing framing_to_client(const ResponseHead& head, bool filtered) const;
  bool body_is_here() const;
  void wait_for_response();
  Error no_response(Error error);

  Poller& poller_;
  ByteStream& client_;
  InputBuffer& client_in_;
  const RequestHead& request_;
  std::string_view upgrade_;
  ByteStream& upstream_;
  InputBuffer& upstream_in_;
  const HeadLimits& limits_;
  const ExchangeTimes& times_;
  ExchangeHooks& hooks_;
  ExchangeResult& result_;

  CopyProgress sending_;  // the request's body, where it is sent beside the response
  Result<void> sent_;     // how sending it ended
  bool sending_done_ = true;
  bool both_ways_ = false;
  bool upstream_spoke_ = false;  // some response head came, be it an interim one
  bool response_begun_ = false;  // its final head is here
  bool answer_over_ = false;     // respond() has ended
  bool sending_failed_ = false;  // not for the upstream's sake, and before the answer was over
  net::cancellation_signal cancel_sending_;
  SteadyTimer* sending_ended_ =
      nullptr;  // cancelled when sending has ended; lives in run_both_ways
};

HeadText Exchange::request_head() const {
  HeadText head;
  const auto option = upgrade_.empty() ? ConnectionOption::none : ConnectionOption::upgrade;
  append_head(*head, request_, Version::http_1_1, option, upgrade_);
  return head;
}

bool Exchange::body_is_here() const {
  return request_.framing.kind == Framing::Kind::length &&
         request_.framing.length <= joined_body_bytes_max &&
         client_in_.unread().size() >= request_.framing.length;
}

// The upstream has the whole request. Meanwhile the client waits, so its time is the longer one.
void Exchange::wait_for_response() {
  upstream_.expires_after(times_.first_byte);
  client_.expires_after(times_.first_byte + times_.idle);
}

Error Exchange::no_response(Error error) {
  const bool gone = error.code == ErrorCode::closed || error.code == ErrorCode::io;
  const bool nothing_came = gone && upstream_in_.empty() && !upstream_spoke_;
  result_.upstream_was_stale = nothing_came && sending_.taken_bytes == 0;
  if (nothing_came) error.what = "the upstream closed without an answer";
  if (error.code == ErrorCode::timeout) {
    error.what = "the upstream took too long to answer";
    error.fix = "try again, or raise first_byte_time_max";
  }
  error.side = Side::upstream;
  return error;
}

// Where there is a body, or something wrong.
Awaitable<Result<void>> Exchange::run() {
  if (!upstream_in_.empty()) {
    co_return fail(lexical::malformed(lexical::Message::response, "it came before the request"));
  }
  if (misses_short_body()) {
    auto awaited = co_await await_short_body();
    if (!awaited) co_return awaited;
  }
  if (body_is_here()) {
    const auto body_bytes = static_cast<std::size_t>(request_.framing.length);
    co_return co_await run_straight(body_bytes);
  }
  co_return co_await run_both_ways();
}

// Never where the client waits for a 100.
bool Exchange::misses_short_body() const {
  return request_.framing.kind == Framing::Kind::length &&
         request_.framing.length <= awaited_body_bytes_max && !request_.expect_continue &&
         !body_is_here();
}

// Many clients send a head and then a short body: one read brings it, and all of it leaves in one
// write.
Awaitable<Result<void>> Exchange::await_short_body() {
  const std::size_t missing = request_.framing.length - client_in_.unread().size();
  std::span<char> room = client_in_.prepare(missing).first(missing);
  client_.reads_expire_after(times_.idle);
  upstream_.expires_after(times_.idle * 2);
  auto count = co_await client_.read_some(room);
  if (!count) co_return fail(body_not_read(std::move(count.error()), Side::client));
  if (*count == 0) co_return fail(ErrorCode::closed, "the body ends early", {}, Side::client);
  client_in_.commit(*count);
  co_return Result<void>{};
}

Result<void> Exchange::append_request_body(std::string& out, std::size_t body_bytes) {
  const std::string_view body = client_in_.unread().substr(0, body_bytes);
  BodyFilter* filter = body_bytes > 0 ? hooks_.request_filter() : nullptr;
  reserve_wiping(out, out.size() + body_bytes);
  if (!filter) {
    out += body;
    return {};
  }
  const std::size_t head_bytes = out.size();
  auto fed = filter->feed(body, out);
  if (fed) fed = filter->finish(out);
  if (fed && out.size() - head_bytes != body_bytes)
    return fail(ErrorCode::internal, "a filter changed the length of the request's body");
  return fed;
}

// The whole request is in memory: write, read, relay, nothing at the same time.
Awaitable<Result<void>> Exchange::run_straight(std::size_t body_bytes) {
  HeadText out = request_head();
  const std::size_t head_bytes = out->size();
  auto added = append_request_body(*out, body_bytes);
  if (!added) co_return added;
  wait_for_response();
  std::span<const char> unsent = *out;
  upstream_.write_now(unsent);
  Result<void> sent;
  if (!unsent.empty()) sent = co_await upstream_.write_all(unsent);
  if (sent) result_.bytes_to_upstream += out->size();
  wipe(out->data(), head_bytes);
  out->clear();
  // A write that failed may have been answered before it did (413, 401): the response decides.
  const bool complete = sent.has_value();
  auto answered = co_await respond();
  // Until then they stayed where they are, so that a stale upstream can be replaced.
  if (!result_.upstream_was_stale) client_in_.consume(body_bytes);
  if (!complete) result_.upstream_reusable = false;
  co_return answered;
}

Awaitable<Result<void>> Exchange::send_request(BodyPump& pump) {
  co_await net::this_coro::throw_if_cancelled(false);  // errors are values, this one too
  auto sent = co_await pump.run(HoldHead::no);
  result_.bytes_to_upstream = sending_.written_bytes;
  if (sent) {
    if (!response_begun_) wait_for_response();
  } else if (!sending_.write_failed && !answer_over_) {
    sending_failed_ = true;
    upstream_
        .close();  // half a request: nobody will answer it, and who waits for that must wake up
  }
  co_return sent;
}

Awaitable<Result<void>> Exchange::run_both_ways() {
  auto executor = co_await net::this_coro::executor;
  SteadyTimer ended(executor);
  sending_ended_ = &ended;
  const CopyRoute route{client_, client_in_, upstream_, Side::client, times_.idle};
  BodyPump pump(route, request_.framing, request_.framing, hooks_.request_filter(), request_head(),
                sending_);
  both_ways_ = true;
  sending_done_ = false;
  auto on_end = [this](std::exception_ptr escaped, Result<void> sent) {
    sent_ = std::move(sent);
    if (escaped) sent_ = fail(ErrorCode::internal, "sending the request's body threw");
    sending_done_ = true;
    sending_ended_->cancel();
  };
  net::co_spawn(executor, send_request(pump),
                net::bind_cancellation_slot(cancel_sending_.slot(), on_end));

  Result<void> answered;
  std::exception_ptr escaped;
  try {
    answered = co_await respond();
  } catch (...) {
    escaped = std::current_exception();
  }
  // The other direction runs on what this frame holds: nothing leaves before it has ended.
  answer_over_ = true;
  if (!answered || escaped) upstream_.close();
  const bool body_awaited = request_.expect_continue && sending_.taken_bytes == 0;
  co_await end_sending(pump, answered.has_value() && !escaped && !body_awaited);
  if (escaped) std::rethrow_exception(escaped);

  if (!sent_ || !sending_.body_read) result_.client_reusable = result_.upstream_reusable = false;
  if (answered) co_return answered;
  if (sending_failed_ && !result_.response_started) {
    result_.upstream_was_stale = false;
    co_return sent_;
  }
  co_return answered;
}

// Waits until sending has ended; lets a client that still sends go on for a bounded time, then
// stops it.
Awaitable<void> Exchange::end_sending(BodyPump& pump, bool linger) {
  for (int tick = 0; linger && !sending_done_ && tick < linger_ticks_max; ++tick) {
    const std::uint64_t before = sending_.taken_bytes;
    sending_ended_->expires_after(linger_tick);
    co_await sending_ended_->async_wait(as_result);
    if (sending_.taken_bytes == before) break;
  }
  pump.stop();
  while (!sending_done_) {
    // Again until it ends: a cancel is lost on an operation that has just been completed.
    cancel_sending_.emit(net::cancellation_type::terminal);
    sending_ended_->expires_after(cancel_again);
    co_await sending_ended_->async_wait(as_result);
  }
}

Awaitable<Result<void>> Exchange::respond() {
  for (int interim = 0; interim <= interim_responses_max; ++interim) {
    auto head = co_await read_response_head(upstream_, upstream_in_, limits_, request_.method);
    if (!head) co_return fail(no_response(std::move(head.error())));
    upstream_spoke_ = true;
    if (head->status >= 200) co_return co_await relay_final(*head);
    if (head->status == 101) co_return co_await relay_upgrade(*head);
    auto relayed = co_await relay_interim(*head);
    if (!relayed) co_return relayed;
  }
  co_return fail(lexical::malformed(lexical::Message::response, "interim responses without end"));
}

Awaitable<Result<void>> Exchange::relay_interim(ResponseHead& head) {
  const bool wanted = head.status != 100 || request_.expect_continue;
  if (request_.http_1_0 || !wanted) co_return Result<void>{};  // HTTP/1.0 knows none
  remove_hop_by_hop(head.fields);
  hooks_.on_interim(head);
  std::string out;
  append_head(out, head, Version::http_1_1, ConnectionOption::none);
  // While a body is awaited its time runs on.
  if (sending_done_) {
    client_.expires_after(times_.idle + times_.first_byte);
  } else {
    client_.reads_expire_after(times_.idle);
  }
  auto sent = co_await client_.write_all(out);
  if (sent) {
    result_.bytes_to_client += out.size();
  } else {
    sent.error().side = Side::client;
  }
  co_return sent;
}

Awaitable<Result<void>> Exchange::relay_upgrade(ResponseHead& head) {
  const std::string* protocol = head.fields.find("Upgrade");
  const bool asked_for =
      !upgrade_.empty() && !request_.http_1_0 && protocol && equal_name(*protocol, upgrade_);
  if (!asked_for || (!sending_done_ && !sending_.body_read)) {
    co_return fail(
        lexical::malformed(lexical::Message::response, "it changes to another protocol"));
  }
  response_begun_ = true;
  remove_hop_by_hop(head.fields);
  hooks_.on_interim(head);
  std::string out;
  append_head(out, head, Version::http_1_1, ConnectionOption::upgrade, upgrade_);
  client_.expires_after(times_.idle);
  result_.status = head.status;
  result_.response_started = true;
  auto sent = co_await client_.write_all(out);
  if (!sent) {
    sent.error().side = Side::client;
    co_return sent;
  }
  result_.bytes_to_client += out.size();
  result_.upgraded = true;
  co_return sent;
}

// How the body goes on to the client: as it came where its length is known and stays, else chunked,
// which an HTTP/1.0 client does not know.
Framing Exchange::framing_to_client(const ResponseHead& head, bool filtered) const {
  if (head.framing.kind == Framing::Kind::none) return head.framing;
  if (head.framing.kind == Framing::Kind::length && !filtered) return head.framing;
  return Framing{request_.http_1_0 ? Framing::Kind::until_close : Framing::Kind::chunked, 0};
}

Awaitable<Result<void>> Exchange::relay_final(ResponseHead& head) {
  response_begun_ = true;
  result_.status = head.status;
  const Framing in = head.framing;
  const bool upstream_lives = head.keep_alive && in.kind != Framing::Kind::until_close;
  remove_hop_by_hop(head.fields);
  auto filter = hooks_.on_response(head);
  if (!filter) co_return fail(std::move(filter.error()));

  head.framing = in;
  head.framing = framing_to_client(head, *filter != nullptr);
  if (head.framing.kind == Framing::Kind::none && *filter) {
    head.fields.erase("Content-Length");  // of the body as it was before the filter
    filter->reset();
  }
  // A client whose body we have not all taken cannot be followed into another request.
  const bool request_complete = !both_ways_ || sending_.body_read;
  const bool client_lives =
      request_.keep_alive && request_complete && head.framing.kind != Framing::Kind::until_close;
  auto option = ConnectionOption::none;
  if (!client_lives) option = ConnectionOption::close;
  if (client_lives && request_.http_1_0) option = ConnectionOption::keep_alive;
  HeadText out;
  // With room for what is here of the body, which leaves with its head.
  out->reserve(usual_head_bytes + std::min(upstream_in_.unread().size(), joined_body_bytes_max));
  append_head(*out, head, Version::http_1_1, option);

  CopyProgress progress;
  const CopyRoute route{upstream_, upstream_in_, client_, Side::upstream, times_.idle};
  BodyPump pump(route, in, head.framing, filter->get(), std::move(out), progress);
  const auto hold = *filter ? HoldHead::no : HoldHead::yes;
  co_await turn_of_others(poller_);
  auto copied = co_await pump.run(hold);
  result_.bytes_to_client += progress.written_bytes;
  result_.response_started = progress.write_begun;
  if (!copied) co_return copied;
  result_.client_reusable = client_lives;
  // More behind a complete response can only be somebody else's response.
  result_.upstream_reusable = upstream_lives && upstream_in_.empty();
  co_return copied;
}

}  // namespace

Awaitable<Result<void>> exchange(Poller& poller, ByteStream& client, InputBuffer& client_in,
                                 const RequestHead& request, std::string_view upgrade,
                                 ByteStream& upstream, InputBuffer& upstream_in,
                                 const HeadLimits& limits, const ExchangeTimes& times,
                                 ExchangeHooks& hooks, ExchangeResult& result) {
  Exchange one(poller, client, client_in, request, upgrade, upstream, upstream_in, limits, times,
               hooks, result);
  if (upstream_in.empty() && !has_body(request)) co_return co_await one.run_straight(0);
  co_return co_await one.run();
}

}  // namespace nono::http
