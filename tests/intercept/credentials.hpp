#pragma once
// Credentials as the built-in routes have them, with made-up keys.

#include <string>
#include <string_view>

#include "proxy/http/head.hpp"
#include "proxy/server.hpp"

namespace nono::test {

inline LoadedCredential make_credential(const std::string& name, const Injection& injection,
                                        std::string_view key, const std::string& prefix = {}) {
  LoadedCredential credential;
  credential.route.name = name;
  credential.route.injection = injection;
  credential.secret = Secret(key);
  credential.phantom = make_phantom(prefix);
  credential.missing = "nono key set " + name;
  return credential;
}

inline LoadedCredential header_credential(const std::string& name, const std::string& header,
                                          const std::string& format, std::string_view key) {
  Injection injection;
  injection.header = header;
  injection.format = format;
  return make_credential(name, injection, key);
}

inline constexpr std::string_view real_key = "sk-live-4f9d2c7ab81e63055TheRealOne";

inline LoadedCredential openai() {
  return header_credential("openai", "Authorization", "Bearer {}", real_key);
}
inline LoadedCredential anthropic() {
  return header_credential("anthropic", "x-api-key", "{}", real_key);
}
inline LoadedCredential gemini() {
  return header_credential("gemini", "x-goog-api-key", "{}", real_key);
}
inline LoadedCredential github() {
  return header_credential("github", "Authorization", "token {}", real_key);
}

inline http::RequestHead request(std::string_view target,
                                 std::initializer_list<http::Field> fields = {}) {
  http::RequestHead head;
  head.method = "GET";
  head.target = target;
  head.fields.add("Host", "api.test");
  for (const http::Field& field : fields) head.fields.add(field.name, field.value);
  return head;
}

inline std::string value_of(const http::RequestHead& head, std::string_view name) {
  const std::string* value = head.fields.find(name);
  return value == nullptr ? "(none)" : *value;
}

// Everything a head would send, for "this is nowhere in it".
inline std::string all_of(const http::RequestHead& head) {
  std::string text = head.method + " " + head.target + "\n";
  for (const http::Field& field : head.fields.all()) text += field.name + ": " + field.value + "\n";
  return text;
}

}  // namespace nono::test
