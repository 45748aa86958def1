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
// length of what they replace. A key is found wherever the frames of one message cut it, also where
// a ping or pong stands between them: what may be the beginning of one is held back until the
// message's next data frame brings more of it, and a ping or pong that comes meanwhile waits behind
// it (it could not overtake: the frame of what is held has begun). What ends a message or the
// connection never waits. Refused with bad_response: a mask or a reserved bit (what is in such a
// frame cannot be read), a control frame that no standard allows, data after a close, and more
// waiting frames than any server has reason for.
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
  // What goes out before the held byte at `before`: a data frame's header, or a control frame.
  struct Waiting {
    std::size_t before;
    std::string bytes;
  };
  Result<bool> read_header();
  Result<void> begin_frame(std::string& out);
  Result<void> emit(std::string bytes, std::string& out);
  Result<void> pass(std::string_view payload, std::string& out);
  Result<void> pass_control(std::string_view payload, std::string& out);
  void search(bool last, std::string& out);

  const Matcher& matcher_;
  std::string header_;            // of the frame that begins, while it is not whole
  std::string control_payload_;   // of a control frame, while it is not whole
  std::string held_;              // payload of a message that may be the beginning of a key
  std::vector<Waiting> waiting_;  // frames that begin inside of it
  std::size_t waiting_octets_ = 0;
  std::uint64_t remaining_ = 0;  // payload of this frame still to come
  bool control_ = false;         // this frame is a control frame, perhaps inside of a message
  bool final_ = false;           // or the last one of its message
  bool closed_ = false;          // a close frame went by
};

}  // namespace nono::intercept
