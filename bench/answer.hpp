#pragma once
// An HTTP answer as it comes in: its head, its framing, its content. Knows no more than honest
// proxies send; anything else is an error that the load reports.

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace nono::bench {

class Answer {
 public:
  enum class State : std::uint8_t { more, whole, bad };

  void reset() {
    head_.clear();
    line_.clear();
    error_.clear();
    framing_ = Framing::unknown;
    left_ = 0;
    skip_ = 0;
    ending_ = whole_ = last_ = false;
  }
  bool begun() const { return !head_.empty() || framing_ != Framing::unknown; }
  // The answer said that the connection closes behind it.
  bool last() const { return last_; }
  const std::string& error() const { return error_; }

  // Takes what was received and hands content on; `on_content(view)` is false where it is wrong.
  template <class OnContent>
  State take(std::string_view data, OnContent on_content) {
    if (framing_ == Framing::unknown && !take_head(data)) return state();
    while (!data.empty() && !whole_ && error_.empty()) {
      if (framing_ == Framing::chunked && left_ == 0) {
        take_size(data);
        continue;
      }
      const std::string_view content = data.substr(0, left_);
      if (!on_content(content)) error_ = "a body that is not the origin's";
      left_ -= content.size();
      data.remove_prefix(content.size());
      if (left_ == 0) whole_ = framing_ == Framing::length;
      skip_ = framing_ == Framing::chunked && left_ == 0 ? 2 : 0;
    }
    if (whole_ && !data.empty()) error_ = "more bytes than asked for";
    return state();
  }

 private:
  enum class Framing : std::uint8_t { unknown, length, chunked };

  State state() const {
    if (!error_.empty()) return State::bad;
    return whole_ ? State::whole : State::more;
  }

  // False until the head is whole and good; then `data` is what follows it.
  bool take_head(std::string_view& data) {
    const std::size_t had = head_.size();
    head_.append(data);
    const std::size_t end = head_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    data.remove_prefix(end + 4 - had);
    if (head_.size() < 12 || head_.compare(9, 3, "200") != 0) {
      error_ = head_.substr(0, head_.find("\r\n"));
      return false;
    }
    head_.resize(end + 2);
    std::transform(head_.begin(), head_.end(), head_.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const bool kept = head_.find("connection: keep-alive") != std::string::npos;
    last_ = (head_.starts_with("http/1.0") && !kept) ||
            head_.find("connection: close") != std::string::npos;
    const std::size_t length = head_.find("\r\ncontent-length: ");
    if (head_.find("\r\ntransfer-encoding: chunked") != std::string::npos) {
      framing_ = Framing::chunked;
    } else if (length != std::string::npos) {
      framing_ = Framing::length;
      left_ = std::strtoull(head_.c_str() + length + 18, nullptr, 10);
      whole_ = left_ == 0;
    } else {
      error_ = "neither Content-Length nor chunks";
    }
    return error_.empty();
  }

  // One byte at a time until a size line, or the empty line behind the last chunk, is whole.
  void take_size(std::string_view& data) {
    const char c = data.front();
    data.remove_prefix(1);
    if (skip_ > 0) {  // the line end behind a chunk
      --skip_;
      return;
    }
    line_ += c;
    if (!line_.ends_with("\r\n")) return;
    if (ending_) {
      whole_ = line_.size() == 2;
    } else {
      left_ = std::strtoull(line_.c_str(), nullptr, 16);
      ending_ = left_ == 0;
    }
    line_.clear();
  }

  std::string head_, line_, error_;
  Framing framing_ = Framing::unknown;
  std::uint64_t left_ = 0;
  int skip_ = 0;
  bool ending_ = false, whole_ = false, last_ = false;
};

}  // namespace nono::bench
