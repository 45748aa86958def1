#include "proxy/authenticate.hpp"

#include <openssl/evp.h>

#include <array>

#include "config/base/on_exit.hpp"

namespace nono {

namespace {

constexpr std::size_t credentials_bytes_max = 1024;

// The password of a Basic value, compared in place; false for anything that is no base64 of
// user:password.
bool basic_matches(std::string_view encoded, const Secret& token) {
  if (encoded.size() > credentials_bytes_max || encoded.size() % 4 != 0) return false;
  std::array<unsigned char, credentials_bytes_max> decoded;
  const OnExit wiped([&] { wipe(decoded.data(), decoded.size()); });
  const int size =
      EVP_DecodeBlock(decoded.data(), reinterpret_cast<const unsigned char*>(encoded.data()),
                      static_cast<int>(encoded.size()));
  if (size < 0) return false;
  std::string_view text(reinterpret_cast<const char*>(decoded.data()),
                        static_cast<std::size_t>(size));
  while (!encoded.empty() &&
         encoded.back() == '=') {  // EVP_DecodeBlock counts the padding as bytes
    encoded.remove_suffix(1);
    if (!text.empty()) text.remove_suffix(1);
  }
  const std::size_t colon = text.find(':');
  return colon != std::string_view::npos &&
         equal_constant_time(text.substr(colon + 1), token.expose());
}

}  // namespace

Authentication authenticate(const http::RequestHead& head, const Secret& token) {
  const std::string* value = head.fields.find("Proxy-Authorization");
  if (value == nullptr) return Authentication::absent;
  if (token.empty() || head.fields.count("Proxy-Authorization") != 1) return Authentication::wrong;
  const std::string_view text = *value;
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return Authentication::wrong;
  const std::string_view scheme = text.substr(0, space);
  std::string_view rest = text.substr(space + 1);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  bool matches = false;
  if (http::equal_name(scheme, "Bearer")) matches = equal_constant_time(rest, token.expose());
  if (http::equal_name(scheme, "Basic")) matches = basic_matches(rest, token);
  return matches ? Authentication::right : Authentication::wrong;
}

}  // namespace nono
