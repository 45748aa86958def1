#pragma once
// Who sends a request: the session's token in Proxy-Authorization (RFC 9110 11.7.1).

#include <array>
#include <string_view>

#include "proxy/http/head.hpp"

namespace nono {

// What a request presents as its token: `Bearer TOKEN` or `Basic base64(anyuser:TOKEN)`. Wiped when
// it goes.
class PresentedToken {
 public:
  // `head` must outlive this.
  explicit PresentedToken(const http::RequestHead& head);
  ~PresentedToken();
  PresentedToken(const PresentedToken&) = delete;
  PresentedToken& operator=(const PresentedToken&) = delete;

  // No such field at all.
  bool absent() const { return absent_; }
  // The token; empty where the field cannot be read or is there more than once.
  std::string_view text() const { return text_; }

 private:
  void read_basic(std::string_view encoded);

  bool absent_ = true;
  std::string_view text_;
  std::array<unsigned char, 1024> decoded_;
};

}  // namespace nono
