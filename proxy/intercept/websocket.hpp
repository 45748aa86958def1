#pragma once
// Keeps a key out of the frames that a WebSocket's server sends (RFC 6455 5.2).

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/intercept/matcher.hpp"
#include "proxy/net/relay.hpp"

namespace nono::intercept {

// Frame headers pass as they are; payloads go through `matcher`, whose replacements must have the
// length of what they replace. Bytes are held back only within a frame, so none waits for the next
// one: a key that is split over two frames is not found. Frames with a mask or a reserved bit are
// refused with bad_response: what is in them cannot be read.
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
  Result<bool> read_header();
  void pass(std::string_view payload, std::string& out);

  const Matcher& matcher_;
  std::string header_;           // of the frame that begins, while it is not whole
  std::string held_;             // payload that may be the beginning of a key
  std::uint64_t remaining_ = 0;  // payload of this frame still to come
};

}  // namespace nono::intercept
