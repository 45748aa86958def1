#include "proxy/intercept/websocket.hpp"

#include <algorithm>

#include "config/base/secret.hpp"

namespace nono::intercept {

namespace {

constexpr unsigned reserved_bits = 0x70;
constexpr unsigned mask_bit = 0x80;
constexpr unsigned final_bit = 0x80;    // of the first octet
constexpr unsigned control_bit = 0x08;  // of the opcode: close, ping, pong
constexpr std::size_t short_header = 2;

unsigned octet(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

}  // namespace

WebSocketFilter::~WebSocketFilter() {
  wipe(held_.data(), held_.size());
}

// True once the header is whole; remaining_ is then the payload's length.
Result<bool> WebSocketFilter::read_header() {
  if (header_.size() < short_header) return false;
  if ((octet(header_, 0) & reserved_bits) != 0 || (octet(header_, 1) & mask_bit) != 0) {
    return fail(ErrorCode::bad_response,
                "a WebSocket frame is coded, so the key could not be kept out of it", {},
                Side::upstream);
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

// The header is whole: it goes out now, or where it belongs in what is held back.
void WebSocketFilter::begin_frame(std::string& out) {
  control_ = (octet(header_, 0) & control_bit) != 0;
  final_ = (octet(header_, 0) & final_bit) != 0;
  if (control_) search(true, out);  // an answer to it may be awaited
  if (held_.empty()) {
    out += header_;
  } else {
    headers_.push_back(Header{held_.size(), header_});
  }
  header_.clear();
  if (remaining_ == 0) pass({}, out);
}

Result<void> WebSocketFilter::feed(std::string_view in, std::string& out) {
  while (!in.empty()) {
    if (remaining_ > 0) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, in.size()));
      remaining_ -= count;
      pass(in.substr(0, count), out);
      in.remove_prefix(count);
      continue;
    }
    header_ += in.front();
    in.remove_prefix(1);
    auto whole = read_header();
    if (!whole) return fail(whole.error());
    if (*whole) begin_frame(out);
  }
  return {};
}

void WebSocketFilter::pass(std::string_view payload, std::string& out) {
  held_ += payload;
  search(remaining_ == 0 && (control_ || final_), out);
}

// Lets out what cannot be the beginning of a key; all of it where it is the `last` of its message.
void WebSocketFilter::search(bool last, std::string& out) {
  std::string clean;
  const std::size_t kept = matcher_.replace(held_, last, clean);
  std::size_t at = 0;
  std::size_t passed = 0;
  while (passed < headers_.size() && headers_[passed].before <= clean.size()) {
    const Header& header = headers_[passed++];
    out.append(clean, at, header.before - at);
    out += header.bytes;
    at = header.before;
  }
  out.append(clean, at);
  headers_.erase(headers_.begin(), headers_.begin() + static_cast<std::ptrdiff_t>(passed));
  for (Header& header : headers_) header.before -= clean.size();
  held_.erase(0, held_.size() - kept);
}

void WebSocketFilter::finish(std::string& out) {
  search(true, out);
  out += header_;
  header_.clear();
}

}  // namespace nono::intercept
