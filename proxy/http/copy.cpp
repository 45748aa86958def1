#include "proxy/http/copy.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "config/base/secret.hpp"
#include "proxy/http/lexical.hpp"
#include "proxy/http/serialize.hpp"

namespace nono::http {

namespace {

// Bodies up to this are worth waiting for one read, so that head and body leave in one write.
constexpr std::size_t short_body_bytes_max = 16 * 1024;
constexpr std::string_view last_chunk = "0\r\n\r\n";

bool is_empty(const Framing& framing) {
  return framing.kind == Framing::Kind::none ||
         (framing.kind == Framing::Kind::length && framing.length == 0);
}

Side other(Side side) {
  return side == Side::client ? Side::upstream : Side::client;
}

}  // namespace

Error body_not_read(Error error, Side from) {
  error.side = from;
  if (error.code != ErrorCode::timeout) return error;
  if (from == Side::client) {
    error.what = "the request's body stopped coming";
    error.fix = "send it without such pauses, or raise idle_time_max";
  } else {
    error.code = ErrorCode::read_timeout;
    error.what = "the upstream stopped in the middle of its answer";
    error.fix = "try again, or raise idle_time_max";
  }
  return error;
}

BodyPump::BodyPump(const CopyRoute& route, Framing in, Framing out, BodyFilter* filter,
                   HeadText head, CopyProgress& progress)
    : route_(route),
      in_(in),
      out_(out),
      filter_(filter),
      progress_(progress),
      staged_(std::move(head)),
      head_bytes_(staged_->size()),
      remaining_(in.length),
      done_(is_empty(in)) {}

Awaitable<Result<void>> BodyPump::run(HoldHead hold) {
  if (hold == HoldHead::yes && misses_short_body()) {
    auto held = co_await receive_short_body();
    if (!held) co_return held;
  }
  while (!done_) {
    // A head does not wait for a body that has not begun to arrive.
    if (route_.buffer.empty() && !sent_at_once(*staged_)) {
      auto sent = co_await send_rest();
      if (!sent) co_return sent;
    }
    std::span<char> received = route_.buffer.unread_writable();
    if (received.empty()) {
      auto piece = co_await read_piece();
      if (!piece) co_return fail(std::move(piece.error()));
      received = *piece;
    }
    auto content = decode(received);
    if (!content) co_return fail(std::move(content.error()));
    auto framed = frame(*content);
    if (!framed) co_return fail(std::move(framed.error()));
    if (!sent_at_once(*framed)) {
      auto sent = co_await send_rest();
      if (!sent) co_return sent;
    }
  }
  progress_.body_read = true;
  // Only an empty body gets here with something left to say: otherwise the last piece said it.
  if (is_empty(in_)) {
    auto staged = stage({});
    if (!staged) co_return staged;
  }
  if (!sent_at_once(*staged_)) co_return co_await send_rest();
  co_return Result<void>{};
}

bool BodyPump::misses_short_body() const {
  return in_.kind == Framing::Kind::length && in_.length <= short_body_bytes_max &&
         route_.buffer.unread().size() < in_.length;
}

// Reads a short body's bytes once before its head leaves. The wait costs the receiver nothing: a
// head alone tells it little, and if the sender fails now, the receiver can still be told so
// instead of being cut off.
Awaitable<Result<void>> BodyPump::receive_short_body() {
  const std::size_t missing = in_.length - route_.buffer.unread().size();
  std::span<char> room = route_.buffer.prepare(missing).first(missing);
  expect_more();
  auto count = co_await route_.from.read_some(room);
  if (!count) co_return fail(body_not_read(std::move(count.error()), route_.from_side));
  if (*count == 0) co_return fail(broken("the body ends early"));
  route_.buffer.commit(*count);
  co_return Result<void>{};
}

// The next bytes where the buffer has none. Empty when a body that lasts until close ends.
Awaitable<Result<std::span<char>>> BodyPump::read_piece() {
  if (stopped_) co_return fail(stopped());
  std::span<char> room = scratch_.payload();
  scratch_begin_ = room.data();
  if (in_.kind == Framing::Kind::length)
    room = room.first(static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), remaining_)));
  // The one waited for gets the time; the other must not run out of its own meanwhile.
  expect_more();
  route_.to.expires_after(route_.idle * 2);
  auto count = co_await route_.from.read_some(room);
  if (!count) co_return fail(body_not_read(std::move(count.error()), route_.from_side));
  if (*count == 0 && in_.kind != Framing::Kind::until_close)
    co_return fail(broken("the body ends early"));
  co_return room.first(*count);
}

// Takes the framing off `received`, in place, and gives what belongs to nobody yet back to the
// buffer.
Result<std::span<char>> BodyPump::decode(std::span<char> received) {
  ChunkDecoder::Progress piece{received.size(), received.size()};
  if (in_.kind == Framing::Kind::length) {
    piece.used = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, received.size()));
    piece.content = piece.used;
    remaining_ -= piece.used;
    done_ = remaining_ == 0;
  } else if (in_.kind == Framing::Kind::chunked) {
    const char* wrong = decoder_.decode({received.data(), received.size()}, received.data(), piece);
    if (wrong) return fail(broken(wrong));
    done_ = decoder_.done();
  } else {
    done_ = received.empty();
  }
  progress_.taken_bytes += piece.used;
  progress_.content_bytes += piece.content;
  progress_.body_read = done_;
  if (is_in_scratch(received)) {
    const std::span<char> rest = received.subspan(piece.used);
    route_.buffer.append({rest.data(), rest.size()});
  } else {
    route_.buffer.consume(piece.used);  // the bytes stay in place until the next read
  }
  return received.first(piece.content);
}

// What goes out for a piece of content: it in its place, or what is staged with it behind.
Result<std::string_view> BodyPump::frame(std::span<char> content) {
  if (staged_->empty() && is_in_scratch(content) && passes({content.data(), content.size()})) {
    return frame_in_place(content);
  }
  auto staged = stage({content.data(), content.size()});
  if (!staged) return fail(std::move(staged.error()));
  return *staged_;
}

// Whether the filter, if there is one, leaves this piece alone.
bool BodyPump::passes(std::string_view content) {
  if (!filter_) return true;
  if (!filter_->passes(content, done_)) return false;
  made_bytes_ += content.size();
  return true;
}

// Adds a piece of content to what goes out next, filtered and framed.
Result<void> BodyPump::stage(std::string_view content) {
  if (passes(content)) {
    stage_framed(content, done_);
    return {};
  }
  filtered_.clear();
  auto changed = filter_->feed(content, filtered_);
  if (changed && done_) changed = filter_->finish(filtered_);
  if (!changed) return changed;
  made_bytes_ += filtered_.size();
  const bool has_length = out_.kind == Framing::Kind::length;
  if (has_length && (made_bytes_ > out_.length || (done_ && made_bytes_ < out_.length)))
    return fail(ErrorCode::internal,
                "a filter changed the length of a body that may not change it");
  stage_framed(filtered_, done_);
  return {};
}

void BodyPump::stage_framed(std::string_view content, bool last) {
  const bool chunked = out_.kind == Framing::Kind::chunked;
  std::string& out = *staged_;
  reserve_wiping(out, out.size() + content.size() + Scratch::front_bytes + Scratch::back_bytes);
  if (chunked && !content.empty()) append_chunk_size(out, content.size());
  out += content;
  if (chunked && !content.empty()) out += "\r\n";
  if (chunked && last) out += last_chunk;
}

// The content with its chunk framing put around it, inside the scratch block.
std::string_view BodyPump::frame_in_place(std::span<char> content) {
  char* begin = content.data();
  char* end = begin + content.size();
  if (out_.kind == Framing::Kind::chunked) {
    if (!content.empty()) {
      std::string size_line;  // short: no allocation
      append_chunk_size(size_line, content.size());
      begin -= size_line.size();
      std::memcpy(begin, size_line.data(), size_line.size());
      std::memcpy(end, "\r\n", 2);
      end += 2;
    }
    if (done_) {
      std::memcpy(end, last_chunk.data(), last_chunk.size());
      end += last_chunk.size();
    }
  }
  return {begin, static_cast<std::size_t>(end - begin)};
}

// Sends what is staged, or what frame() made while nothing was. False: some of it waits for room,
// or it failed, and send_rest() has the rest of it.
bool BodyPump::sent_at_once(std::string_view bytes) {
  unsent_ = bytes;
  if (bytes.empty()) return true;
  if (stopped_) return false;
  sending_bytes_ = bytes.size();
  route_.to.expires_after(route_.idle);
  route_.from.expires_after(route_.idle * 2);
  progress_.write_begun = true;
  route_.to.write_now(unsent_);
  if (!unsent_.empty()) return false;
  forget_staged();
  progress_.written_bytes += sending_bytes_;
  return true;
}

Awaitable<Result<void>> BodyPump::send_rest() {
  if (stopped_) co_return fail(stopped());
  auto sent = co_await route_.to.write_all(unsent_);
  forget_staged();
  if (!sent) {
    progress_.write_failed = true;
    sent.error().side = other(route_.from_side);
    co_return sent;
  }
  progress_.written_bytes += sending_bytes_;
  co_return sent;
}

// A head may hold a key.
void BodyPump::forget_staged() {
  wipe(staged_->data(), std::exchange(head_bytes_, 0));
  staged_->clear();
}

// A client whose time is over is told so: its stream stays open.
void BodyPump::expect_more() {
  if (route_.from_side == Side::client) return route_.from.reads_expire_after(route_.idle);
  route_.from.expires_after(route_.idle);
}

Error BodyPump::stopped() const {
  return Error{Side::self, ErrorCode::closed, "the body is no longer wanted", {}};
}

Error BodyPump::broken(std::string_view what) const {
  return lexical::malformed(
      route_.from_side == Side::client ? lexical::Message::request : lexical::Message::response,
      what);
}

Awaitable<Result<BodyCopy>> copy_body(ByteStream& from, InputBuffer& buffer, Framing in,
                                      ByteStream& to, Framing out, BodyFilter* filter,
                                      std::chrono::milliseconds idle, Side from_side) {
  CopyProgress progress;
  const CopyRoute route{from, buffer, to, from_side, idle};
  BodyPump pump(route, in, out, filter, HeadText(), progress);
  auto copied = co_await pump.run(HoldHead::no);
  if (!copied) co_return fail(std::move(copied.error()));
  BodyCopy copy;
  copy.bytes = progress.content_bytes;
  co_return copy;
}

}  // namespace nono::http
