#pragma once
// Message bodies on their way through: read by one framing, written by another, filtered in
// between.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proxy/http/head.hpp"
#include "proxy/net/byte_stream.hpp"

namespace nono::http {

// Bytes received and not yet used. Grows as asked (its users bound that), gives its memory back on
// release().
class InputBuffer {
 public:
  InputBuffer() = default;
  ~InputBuffer() { give_back(); }
  InputBuffer(InputBuffer&& other) noexcept;
  InputBuffer& operator=(InputBuffer&& other) noexcept;

  std::string_view unread() const { return {data_.get() + begin_, end_ - begin_}; }
  std::span<char> unread_writable() { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  std::span<char> prepare(std::size_t at_least);  // room behind the unread bytes; moves them
  void commit(std::size_t count) { end_ += count; }
  void append(std::string_view bytes);
  void consume(std::size_t count);
  void release();  // frees the memory if nothing is unread

 private:
  void give_back() noexcept;
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0, end_ = 0;
};

// Reads until a whole head is in `buffer` and parses it; consumes exactly the head. A leading empty
// line before a request is skipped once (RFC 9112 2.2). Errors: closed with an empty `what` when
// the peer ended cleanly between messages; head_too_large; bad_request or bad_response; timeout.
// `rest_time`: once a request's head has begun, all of it must come within that (zero: within
// whatever time the stream has).
Awaitable<Result<RequestHead>> read_request_head(ByteStream& stream, InputBuffer& buffer,
                                                 const HeadLimits& limits,
                                                 std::chrono::milliseconds rest_time = {});
Awaitable<Result<ResponseHead>> read_response_head(ByteStream& stream, InputBuffer& buffer,
                                                   const HeadLimits& limits,
                                                   std::string_view request_method);

// Changes a body as it passes. May hold bytes back until later calls; `out` is appended to.
class BodyFilter {
 public:
  virtual ~BodyFilter() = default;
  // Whether `in` would come out as it is, at once, and, where it is the `last` of the body, nothing
  // behind it: then it goes on without being fed and copied.
  virtual bool passes([[maybe_unused]] std::string_view in, [[maybe_unused]] bool last) {
    return false;
  }
  virtual Result<void> feed(std::string_view in, std::string& out) = 0;
  virtual Result<void> finish(std::string& out) = 0;
};

struct BodyCopy {
  std::uint64_t bytes = 0;  // of content, as read
};

// Copies one body from `from` (first what `buffer` holds) to `to`, reading by `in` and writing by
// `out` framing. A length out must be the length in, and stay so through a `filter`; one that
// changes it needs `out` chunked or until_close. Chunk sizes and extensions are strict and bounded;
// trailers are dropped. `idle` renews both streams' deadlines whenever something moves.
// `from_side` says who sends it: errors of reading it are that side's, errors of writing it the
// other's.
Awaitable<Result<BodyCopy>> copy_body(ByteStream& from, InputBuffer& buffer, Framing in,
                                      ByteStream& to, Framing out, BodyFilter* filter,
                                      std::chrono::milliseconds idle,
                                      Side from_side = Side::client);

}  // namespace nono::http
