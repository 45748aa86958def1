#include "proxy/http/body.hpp"

#include <algorithm>
#include <cstring>

#include "proxy/http/lexical.hpp"

namespace nono::http {

namespace {

using lexical::Message;

// What one read may bring. Requests are small; a response's first read should bring its body along.
constexpr std::size_t request_read_bytes = 4 * 1024;
constexpr std::size_t response_read_bytes = 16 * 1024;

// Blocks of the sizes that heads are read into: each request takes one and gives it back. An
// allocator's free list, no more; per thread, so no locks.
constexpr std::size_t kept_blocks_max = 64;

using Blocks = std::vector<std::unique_ptr<char[]>>;

// Those of this size; null where none are kept.
Blocks* kept_blocks(std::size_t bytes) {
  thread_local Blocks request_blocks, response_blocks;
  if (bytes == request_read_bytes) return &request_blocks;
  return bytes == response_read_bytes ? &response_blocks : nullptr;
}

std::unique_ptr<char[]> take_block(std::size_t bytes) {
  Blocks* const kept = kept_blocks(bytes);
  if (kept == nullptr || kept->empty()) return std::make_unique_for_overwrite<char[]>(bytes);
  auto block = std::move(kept->back());
  kept->pop_back();
  return block;
}

// Finds the end of a head in bytes that arrive in pieces, without looking at any of them twice, and
// refuses at once what could only become a head by being something else.
class HeadFinder {
 public:
  HeadFinder(const HeadLimits& limits, Message message) : limits_(limits), message_(message) {}

  // The length of the head, 0 while its end has not arrived.
  Result<std::size_t> look(std::string_view bytes) {
    if (scanned_ == 0 && !bytes.empty() && !is_possible_start(bytes.front()))
      return fail(lexical::malformed(message_, "it does not begin as HTTP does"));
    while (scanned_ < bytes.size()) {
      const void* found = std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_);
      if (!found) {
        scanned_ = bytes.size();
        break;
      }
      const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
      if (at == 0 || bytes[at - 1] != '\r')
        return fail(lexical::malformed(message_, "a line ends without a carriage return"));
      const bool empty_line = at - line_begin_ == 1;
      line_begin_ = scanned_ = at + 1;
      first_line_ended_ = true;
      if (empty_line) return at + 1;
    }
    if (!first_line_ended_ && bytes.size() > limits_.request_line_bytes_max)
      return fail(lexical::first_line_too_long(message_));
    if (bytes.size() > limits_.head_bytes_max)
      return fail(lexical::too_large(message_, "the head is too long"));
    return std::size_t{0};
  }

 private:
  // A client that speaks TLS or something else to us is told so, not kept waiting.
  bool is_possible_start(char c) const {
    return message_ == Message::request ? lexical::is_token_character(c) || c == '\r' : c == 'H';
  }

  const HeadLimits& limits_;
  Message message_;
  std::size_t scanned_ = 0;
  std::size_t line_begin_ = 0;
  bool first_line_ended_ = false;
};

Side side_of(Message message) {
  return message == Message::request ? Side::client : Side::upstream;
}

Error ended(Message message, bool between_messages) {
  // An empty `what` tells a clean end between two messages from one that cuts something off.
  std::string what;
  if (!between_messages) {
    what = message == Message::request ? "the client closed in the middle of a request head"
                                       : "the upstream closed in the middle of a response head";
  }
  return Error{side_of(message), ErrorCode::closed, std::move(what), {}};
}

// One head on its way into a buffer. The reading itself is its users': a coroutine of its own would
// cost each message one more frame.
class HeadReceiver {
 public:
  HeadReceiver(const HeadLimits& limits, Message message)
      : finder_(limits, message), message_(message), may_skip_(message == Message::request) {}

  // The length of the head in `buffer`, 0 while its end has not arrived.
  Result<std::size_t> look(InputBuffer& buffer) {
    if (may_skip_ && buffer.unread().starts_with("\r\n")) {
      buffer.consume(2);
      may_skip_ = false;
    }
    // Of a lone CR one cannot say yet whether it is that empty line.
    if (may_skip_ && buffer.unread() == "\r") return std::size_t{0};
    auto length = finder_.look(buffer.unread());
    if (!buffer.empty()) may_skip_ = false;
    return length;
  }

  // What a read into `buffer` has brought.
  Result<void> take(InputBuffer& buffer, Result<std::size_t>&& count) const {
    if (!count) {
      count.error().side = side_of(message_);
      return fail(std::move(count.error()));
    }
    if (*count == 0) return fail(ended(message_, buffer.empty()));
    buffer.commit(*count);
    return {};
  }

 private:
  HeadFinder finder_;
  Message message_;
  bool may_skip_;  // an empty line before a request
};

}  // namespace

InputBuffer::InputBuffer(InputBuffer&& other) noexcept
    : data_(std::move(other.data_)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

InputBuffer& InputBuffer::operator=(InputBuffer&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  data_ = std::move(other.data_);
  capacity_ = std::exchange(other.capacity_, 0);
  begin_ = std::exchange(other.begin_, 0);
  end_ = std::exchange(other.end_, 0);
  return *this;
}

std::span<char> InputBuffer::prepare(std::size_t at_least) {
  const std::size_t size = end_ - begin_;
  if (capacity_ - end_ < at_least) {
    if (capacity_ - size >= at_least) {
      std::memmove(data_.get(), data_.get() + begin_, size);
    } else {
      const std::size_t capacity = std::max(size + at_least, size * 2);
      auto data = take_block(capacity);
      if (size > 0) std::memcpy(data.get(), data_.get() + begin_, size);
      give_back();
      data_ = std::move(data);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = size;
  }
  return {data_.get() + end_, capacity_ - end_};
}

void InputBuffer::append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(prepare(bytes.size()).data(), bytes.data(), bytes.size());
  commit(bytes.size());
}

void InputBuffer::consume(std::size_t count) {
  begin_ += count;
  if (begin_ == end_) begin_ = end_ = 0;
}

void InputBuffer::release() {
  if (!empty()) return;
  give_back();
  capacity_ = begin_ = end_ = 0;
}

void InputBuffer::give_back() noexcept {
  Blocks* const kept = kept_blocks(capacity_);
  if (data_ && kept != nullptr && kept->size() < kept_blocks_max) {
    kept->push_back(std::move(data_));
  } else {
    data_.reset();
  }
}

Awaitable<Result<RequestHead>> read_request_head(ByteStream& stream, InputBuffer& buffer,
                                                 const HeadLimits& limits,
                                                 std::chrono::milliseconds rest_time) {
  HeadReceiver receiver(limits, Message::request);
  while (true) {
    auto length = receiver.look(buffer);
    if (!length) co_return fail(std::move(length.error()));
    if (*length > 0) {
      auto head = parse_request_head(buffer.unread().substr(0, *length), limits);
      buffer.consume(*length);
      co_return head;
    }
    if (rest_time.count() > 0 && !buffer.empty()) {
      stream.reads_expire_after(std::exchange(rest_time, {}));
    }
    auto count = co_await stream.read_some(buffer.prepare(request_read_bytes));
    auto taken = receiver.take(buffer, std::move(count));
    if (!taken) {
      Error& error = taken.error();
      if (error.code == ErrorCode::timeout) error.what = "the request head took too long";
      co_return fail(std::move(error));
    }
  }
}

Awaitable<Result<ResponseHead>> read_response_head(ByteStream& stream, InputBuffer& buffer,
                                                   const HeadLimits& limits,
                                                   std::string_view request_method) {
  HeadReceiver receiver(limits, Message::response);
  while (true) {
    auto length = receiver.look(buffer);
    if (!length) co_return fail(std::move(length.error()));
    if (*length > 0) {
      auto head = parse_response_head(buffer.unread().substr(0, *length), limits, request_method);
      buffer.consume(*length);
      co_return head;
    }
    auto count = co_await stream.read_some(buffer.prepare(response_read_bytes));
    auto taken = receiver.take(buffer, std::move(count));
    if (!taken) co_return fail(std::move(taken.error()));
  }
}

}  // namespace nono::http
