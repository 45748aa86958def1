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
#include "proxy/intercept/matcher.hpp"

namespace nono::intercept {

// What in `head` is shaped like a phantom, plain or encoded as contains() below knows it: the 64
// hex digits behind each infix.
std::vector<std::string> phantom_tails(const http::RequestHead& head);

// The phantoms of all sessions alive: another's is no more to be sent out than one's own.
class PhantomBook {
 public:
  virtual ~PhantomBook() = default;
  // `tail`: the 64 hex digits behind the infix.
  virtual bool holds(std::string_view tail) = 0;
};

// Finds phantoms, and the session's own token, in what leaves. Immutable; one search for the infix
// "nono_" and one for the token decide almost every request.
class PhantomScanner {
 public:
  // `token` may be empty; one of less than 16 bytes is not looked for: it would be found everywhere.
  explicit PhantomScanner(const std::vector<std::string>& phantoms, std::string_view token = {});

  // In the target or any field: plain, percent-encoded (also twice), or inside base64 (Basic,
  // tokens). `others` may be null.
  bool contains(const http::RequestHead& head, PhantomBook* others = nullptr) const;
  // In one text, the same encodings.
  bool contains(std::string_view text, PhantomBook* others = nullptr) const;
  // As it stands only.
  bool contains_plain(std::string_view text, PhantomBook* others = nullptr) const;

  // The token in the target or any field, plain or inside base64: what a client sends that takes an
  // upstream for the proxy.
  bool contains_token(const http::RequestHead& head) const;

  // A filter for request bodies that leaves them as they are and fails (client, refused) as soon as
  // a phantom is in them; no more than the part of a phantom already seen is ever held back, and
  // none goes out whole, wherever chunks split it. Scanner and book must outlive it.
  std::unique_ptr<http::BodyFilter> guard(PhantomBook* others = nullptr) const;

 private:
  bool knows(std::string_view tail, PhantomBook* others) const;
  std::unordered_set<std::string> tails_;  // the 64 hex digits behind the infix
  Matcher token_;                          // in all its forms
};

}  // namespace nono::intercept
