#pragma once
// Recognising phantoms on their way out. (make_phantom and make_token are declared in
// proxy/server.hpp.)

#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "proxy/http/body.hpp"
#include "proxy/http/head.hpp"

namespace nono::intercept {

// What in `head` is shaped like a phantom, plain or encoded as contains() below knows it: the 64
// hex digits behind each infix.
std::vector<std::string> phantom_tails(const http::RequestHead& head);

// Finds any of a session's phantoms in what leaves. Immutable; one search for the infix "nono_"
// decides almost every request.
class PhantomScanner {
 public:
  explicit PhantomScanner(const std::vector<std::string>& phantoms);

  // In the target or any field: plain, percent-encoded (also twice), or inside base64 (Basic,
  // tokens).
  bool contains(const http::RequestHead& head) const;
  // In one text, the same encodings.
  bool contains(std::string_view text) const;
  // As it stands only.
  bool contains_plain(std::string_view text) const;

  // A filter for request bodies that leaves them as they are and fails (client, refused) as soon as
  // a phantom is in them; no more than the part of a phantom already seen is ever held back, and
  // none goes out whole, wherever chunks split it. The scanner must outlive it.
  std::unique_ptr<http::BodyFilter> guard() const;

 private:
  bool knows(std::string_view tail) const { return tails_.count(std::string(tail)) != 0; }
  std::unordered_set<std::string> tails_;  // the 64 hex digits behind the infix
};

}  // namespace nono::intercept
