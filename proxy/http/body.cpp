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

Awaitable<Result<std::size_t>> receive_head(ByteStream& stream, InputBuffer& buffer,
                                            const HeadLimits& limits, Message message,
                                            std::size_t read_bytes) {
  HeadFinder finder(limits, message);
  bool may_skip = message == Message::request;
  while (true) {
    if (may_skip && buffer.unread().starts_with("\r\n")) {
      buffer.consume(2);
      may_skip = false;
    }
    // Of a lone CR one cannot say yet whether it is that empty line.
    const bool undecided = may_skip && buffer.unread() == "\r";
    if (!undecided) {
      auto length = finder.look(buffer.unread());
      if (!length || *length > 0) co_return length;
      if (!buffer.empty()) may_skip = false;
    }
    auto count = co_await stream.read_some(buffer.prepare(read_bytes));
    if (!count) {
      count.error().side = side_of(message);
      co_return fail(std::move(count.error()));
    }
    if (*count == 0) co_return fail(ended(message, buffer.empty()));
    buffer.commit(*count);
  }
}

}  // namespace

InputBuffer::InputBuffer(InputBuffer&& other) noexcept
    : data_(std::move(other.data_)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

InputBuffer& InputBuffer::operator=(InputBuffer&& other) noexcept {
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
      auto data = std::make_unique_for_overwrite<char[]>(capacity);
      if (size > 0) std::memcpy(data.get(), data_.get() + begin_, size);
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
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

Awaitable<Result<RequestHead>> read_request_head(ByteStream& stream, InputBuffer& buffer,
                                                 const HeadLimits& limits) {
  auto length = co_await receive_head(stream, buffer, limits, Message::request, request_read_bytes);
  if (!length) co_return fail(std::move(length.error()));
  auto head = parse_request_head(buffer.unread().substr(0, *length), limits);
  buffer.consume(*length);
  co_return head;
}

Awaitable<Result<ResponseHead>> read_response_head(ByteStream& stream, InputBuffer& buffer,
                                                   const HeadLimits& limits,
                                                   std::string_view request_method) {
  auto length =
      co_await receive_head(stream, buffer, limits, Message::response, response_read_bytes);
  if (!length) co_return fail(std::move(length.error()));
  auto head = parse_response_head(buffer.unread().substr(0, *length), limits, request_method);
  buffer.consume(*length);
  co_return head;
}

}  // namespace nono::http
