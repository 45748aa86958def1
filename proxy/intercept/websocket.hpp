#pragma once
// Keeps a key out of the frames that a WebSocket's server sends (RFC 6455 5.2).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/intercept/matcher.hpp"
#include "proxy/net/relay.hpp"

namespace nono::intercept {

// Frame headers pass as they are; payloads go through `matcher`, whose replacements must have the
// length of what they replace. A key is found wherever the frames of one message cut it: what may
// be the beginning of one is held back until the message's next data frame brings more of it. What
// ends a message, or a control frame, never waits for anything. Frames with a mask or a reserved
// bit are refused with bad_response: what is in them cannot be read.
class WebSocketFilter final : public RelayFilter {
 public:
  // `matcher` must outlive the filter.
  explicit WebSocketFilter(const Matcher& matcher) : matcher_(matcher) {}
  ~WebSocketFilter() override;
  WebSocketFilter(const WebSocketFilter&) = delete;
  WebSocketFilter& operator=(const WebSocketFilter&) = delete;

  Result<void> feed(std::string_view in, std::string& out) override;
  void finish(std::string& out) override;

 private:
  // A header of a data frame that goes out before the held byte at `before`.
  struct Header {
    std::size_t before;
    std::string bytes;
  };
  Result<bool> read_header();
  void begin_frame(std::string& out);
  void pass(std::string_view payload, std::string& out);
  void search(bool last, std::string& out);

  const Matcher& matcher_;
  std::string header_;           // of the frame that begins, while it is not whole
  std::string held_;             // payload of a message that may be the beginning of a key
  std::vector<Header> headers_;  // of frames that begin inside of it
  std::uint64_t remaining_ = 0;  // payload of this frame still to come
  bool control_ = false;         // this frame is a control frame, perhaps inside of a message
  bool final_ = false;           // or the last one of its message
};

}  // namespace nono::intercept
