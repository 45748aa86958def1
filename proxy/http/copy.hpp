#pragma once
// One body from one stream to another, its head leaving together with its first bytes. Private to
// proxy/http.

#include <chrono>
#include <string>

#include "proxy/http/body.hpp"
#include "proxy/http/chunked.hpp"
#include "proxy/http/scratch.hpp"

namespace nono::http {

// Where a copy is, readable at any time and after a failure.
struct CopyProgress {
  std::uint64_t content_bytes = 0;  // of content, as read
  std::uint64_t written_bytes = 0;  // to the other stream, head and framing included
  std::uint64_t taken_bytes = 0;    // used up of what the sender sent, framing included
  bool write_begun = false;         // something may have reached the other stream
  bool write_failed = false;
  bool body_read = false;  // the whole body has been taken from its sender
};

// What a copy runs on. The references outlive it.
struct CopyRoute {
  ByteStream& from;
  InputBuffer& buffer;  // what of `from` has been received already
  ByteStream& to;
  Side from_side;
  std::chrono::milliseconds idle;
};

// May a copy wait for the first bytes of a short body so that they leave with the head?
enum class HoldHead : std::uint8_t { no, yes };

// What it means that reading a body of `from`'s failed.
Error body_not_read(Error error, Side from);

class BodyPump {
 public:
  // `head` goes out before the body. `filter` may be null.
  BodyPump(const CopyRoute& route, Framing in, Framing out, BodyFilter* filter, HeadText head,
           CopyProgress& progress);
  Awaitable<Result<void>> run(HoldHead hold);
  // No further read or write begins; run() then fails. What is pending is the caller's to cancel.
  void stop() { stopped_ = true; }

 private:
  bool misses_short_body() const;
  Awaitable<Result<void>> receive_short_body();
  Awaitable<Result<std::span<char>>> read_piece();
  Result<std::span<char>> decode(std::span<char> received);
  bool passes(std::string_view content);
  Result<void> stage(std::string_view content);
  Result<std::string_view> frame(std::span<char> content);
  bool sent_at_once(std::string_view bytes);
  Awaitable<Result<void>> send_rest();
  void forget_staged();
  void stage_framed(std::string_view content, bool last);
  std::string_view frame_in_place(std::span<char> content);
  void expect_more();
  Error stopped() const;
  Error broken(std::string_view what) const;
  bool is_in_scratch(std::span<char> piece) const { return piece.data() == scratch_begin_; }

  CopyRoute route_;
  Framing in_, out_;
  BodyFilter* filter_;
  CopyProgress& progress_;
  HeadText staged_;         // goes out next: a head, or what the filter made
  std::size_t head_bytes_;  // of it: wiped once sent, it may hold a key
  std::string filtered_;
  std::span<const char> unsent_;  // of what goes out now, in staged_ or the scratch block
  std::size_t sending_bytes_ = 0;
  std::uint64_t made_bytes_ = 0;  // by the filter
  std::uint64_t remaining_;       // of a body with a length
  ChunkDecoder decoder_;
  Scratch scratch_;
  const char* scratch_begin_ = nullptr;
  bool done_;
  bool stopped_ = false;
};

}  // namespace nono::http
