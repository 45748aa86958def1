#include "proxy/intercept/websocket.hpp"

#include <algorithm>
#include <utility>

#include "config/base/secret.hpp"

namespace nono::intercept {

namespace {

constexpr unsigned reserved_bits = 0x70;
constexpr unsigned mask_bit = 0x80;
constexpr unsigned final_bit = 0x80;    // of the first octet
constexpr unsigned control_bit = 0x08;  // of the opcode: close, ping, pong
constexpr unsigned opcode_bits = 0x0f;
constexpr unsigned close_opcode = 0x08;
constexpr std::size_t short_header = 2;
constexpr std::size_t control_payload_max = 125;    // RFC 6455 5.5
constexpr std::size_t waiting_octets_max = 16'384;  // a hundred pings and more

unsigned octet(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

tl::unexpected<Error> unreadable(std::string what) {
  return fail(ErrorCode::bad_response, std::move(what), {}, Side::upstream);
}

}  // namespace

WebSocketFilter::~WebSocketFilter() {
  wipe(held_.data(), held_.size());
  wipe(control_payload_.data(), control_payload_.size());
}

// True once the header is whole; remaining_ is then the payload's length.
Result<bool> WebSocketFilter::read_header() {
  if (header_.size() < short_header) return false;
  if ((octet(header_, 0) & reserved_bits) != 0 || (octet(header_, 1) & mask_bit) != 0) {
    return unreadable("a WebSocket frame is coded, so the key could not be kept out of it");
  }
  const unsigned length = octet(header_, 1);
  std::size_t more = 0;
  if (length == 126) more = 2;
  if (length == 127) more = 8;
  if (header_.size() < short_header + more) return false;
  remaining_ = more == 0 ? length : 0;
  for (std::size_t i = 0; i < more; ++i)
    remaining_ = remaining_ << 8 | octet(header_, short_header + i);
  return true;
}

// The header is whole: a data frame's goes out now, or where it belongs in what is held back; a
// control frame is passed whole.
Result<void> WebSocketFilter::begin_frame(std::string& out) {
  const unsigned first = octet(header_, 0);
  control_ = (first & control_bit) != 0;
  final_ = (first & final_bit) != 0;
  if (closed_ && !control_) return unreadable("a WebSocket server sent data after its close");
  if (control_) {
    if (!final_ || remaining_ > control_payload_max) {
      return unreadable("a WebSocket control frame is too long or in parts");
    }
    closed_ = closed_ || (first & opcode_bits) == close_opcode;
    if (closed_) search(true, out);  // nothing follows that could make it a key
  } else {
    auto emitted = emit(std::exchange(header_, {}), out);
    if (!emitted) return emitted;
  }
  return remaining_ == 0 ? pass({}, out) : Result<void>();
}

Result<void> WebSocketFilter::emit(std::string bytes, std::string& out) {
  if (held_.empty()) {
    out += bytes;
    return {};
  }
  waiting_octets_ += bytes.size();
  if (waiting_octets_ > waiting_octets_max) {
    return unreadable("a WebSocket message stays at the beginning of a key for too long");
  }
  waiting_.push_back(Waiting{held_.size(), std::move(bytes)});
  return {};
}

Result<void> WebSocketFilter::feed(std::string_view in, std::string& out) {
  while (!in.empty()) {
    if (remaining_ > 0) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, in.size()));
      remaining_ -= count;
      auto passed = pass(in.substr(0, count), out);
      if (!passed) return passed;
      in.remove_prefix(count);
      continue;
    }
    header_ += in.front();
    in.remove_prefix(1);
    auto whole = read_header();
    if (!whole) return fail(whole.error());
    if (!*whole) continue;
    auto begun = begin_frame(out);
    if (!begun) return begun;
  }
  return {};
}

Result<void> WebSocketFilter::pass(std::string_view payload, std::string& out) {
  if (control_) return pass_control(payload, out);
  held_ += payload;
  search(remaining_ == 0 && final_, out);
  return {};
}

// A control frame's payload is a text of its own.
Result<void> WebSocketFilter::pass_control(std::string_view payload, std::string& out) {
  control_payload_ += payload;
  if (remaining_ > 0) return {};
  std::string frame = std::exchange(header_, {});
  matcher_.replace(control_payload_, true, frame);
  wipe(control_payload_.data(), control_payload_.size());
  control_payload_.clear();
  return emit(std::move(frame), out);
}

// Lets out what cannot be the beginning of a key; all of it where it is the `last` of its message.
void WebSocketFilter::search(bool last, std::string& out) {
  std::string clean;
  const std::size_t kept = matcher_.replace(held_, last, clean);
  std::size_t at = 0;
  std::size_t passed = 0;
  while (passed < waiting_.size() && waiting_[passed].before <= clean.size()) {
    const Waiting& next = waiting_[passed++];
    out.append(clean, at, next.before - at);
    out += next.bytes;
    waiting_octets_ -= next.bytes.size();
    at = next.before;
  }
  out.append(clean, at);
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(passed));
  for (Waiting& next : waiting_) next.before -= clean.size();
  held_.erase(0, held_.size() - kept);
}

void WebSocketFilter::finish(std::string& out) {
  search(true, out);
  out += std::exchange(header_, {});
  matcher_.replace(control_payload_, true, out);
}

}  // namespace nono::intercept
