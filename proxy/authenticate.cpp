#include "proxy/authenticate.hpp"

#include <openssl/evp.h>

#include "config/base/secret.hpp"

namespace nono {

PresentedToken::PresentedToken(const http::RequestHead& head) {
  const std::string* value = head.fields.find("Proxy-Authorization");
  if (value == nullptr) return;
  absent_ = false;
  if (head.fields.count("Proxy-Authorization") != 1) return;
  const std::string_view field = *value;
  const std::size_t space = field.find(' ');
  if (space == std::string_view::npos) return;
  const std::string_view scheme = field.substr(0, space);
  std::string_view rest = field.substr(space + 1);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  if (http::equal_name(scheme, "Bearer")) text_ = rest;
  if (http::equal_name(scheme, "Basic")) read_basic(rest);
}

PresentedToken::~PresentedToken() {
  wipe(decoded_.data(), decoded_.size());
}

// The password of a Basic value, decoded in place.
void PresentedToken::read_basic(std::string_view encoded) {
  if (encoded.size() > decoded_.size() || encoded.size() % 4 != 0) return;
  const int size =
      EVP_DecodeBlock(decoded_.data(), reinterpret_cast<const unsigned char*>(encoded.data()),
                      static_cast<int>(encoded.size()));
  if (size < 0) return;
  std::string_view text(reinterpret_cast<const char*>(decoded_.data()),
                        static_cast<std::size_t>(size));
  while (!encoded.empty() &&
         encoded.back() == '=') {  // EVP_DecodeBlock counts the padding as bytes
    encoded.remove_suffix(1);
    if (!text.empty()) text.remove_suffix(1);
  }
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) text_ = text.substr(colon + 1);
}

}  // namespace nono
