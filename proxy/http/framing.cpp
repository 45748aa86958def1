#include "proxy/http/framing.hpp"

#include <algorithm>

#include "proxy/http/lexical.hpp"

namespace nono::http {

namespace {

using lexical::Message;

// What the fields of one message say about it.
struct Said {
  const std::string* content_length = nullptr;
  const std::string* transfer_encoding = nullptr;
  const std::string* host = nullptr;
  const char* wrong = nullptr;  // a rule that the fields break
  bool close = false;
  bool keep_alive = false;
  bool expect_continue = false;
};

// RFC 9110 7.6.1: options are tokens. Of one that is none nobody knows what it removes.
void want_tokens(std::string_view list, Said& said) {
  std::string_view option;
  while (lexical::next_element(list, option)) {
    if (!lexical::is_token(option)) said.wrong = "a Connection field is no list of tokens";
  }
}

void read_connection(std::string_view list, Said& said) {
  want_tokens(list, said);
  std::string_view option;
  while (lexical::next_element(list, option)) {
    if (equal_name(option, "close")) said.close = true;
    if (equal_name(option, "keep-alive")) said.keep_alive = true;
  }
}

void only_once(const std::string*& slot, const Field& field, const char* wrong, Said& said) {
  if (slot) said.wrong = wrong;
  slot = &field.value;
}

// Told apart by length first: nearly every field is none of these.
void read_field(const Field& field, Said& said) {
  const std::string& name = field.name;
  switch (name.size()) {
    case 4:
      if (equal_name(name, "Host"))
        only_once(said.host, field, "there are several Host fields", said);
      break;
    case 6:
      if (equal_name(name, "Expect") && equal_name(field.value, "100-continue"))
        said.expect_continue = true;
      break;
    case 10:
      if (equal_name(name, "Connection")) read_connection(field.value, said);
      break;
    case 14:
      if (equal_name(name, "Content-Length"))
        only_once(said.content_length, field, "there are several Content-Length fields", said);
      if (equal_name(name, "Content_Length")) said.wrong = "there is a field Content_Length";
      break;
    case 16:
      if (equal_name(name, "Proxy-Connection")) {
        want_tokens(field.value, said);
        if (equal_name(field.value, "close")) said.close = true;
      }
      break;
    case 17:
      if (equal_name(name, "Transfer-Encoding"))
        only_once(said.transfer_encoding, field, "there are several Transfer-Encoding fields",
                  said);
      // Some servers read '_' as '-': what one of the two overlooks is how requests are smuggled.
      if (equal_name(name, "Transfer_Encoding")) said.wrong = "there is a field Transfer_Encoding";
      break;
    default:
      break;
  }
}

Said read_fields(const Fields& fields) {
  Said said;
  for (const Field& field : fields.all()) read_field(field, said);
  return said;
}

// Null and the framing, or what is wrong. `unframed` is what a message without both fields has.
const char* frame(const Said& said, bool http_1_0, Framing::Kind unframed, Framing& framing) {
  if (said.wrong) return said.wrong;
  framing = Framing{unframed, 0};
  if (said.transfer_encoding) {
    if (said.content_length) return "there are both Transfer-Encoding and Content-Length";
    if (http_1_0) return "HTTP/1.0 has no Transfer-Encoding";
    if (!equal_name(*said.transfer_encoding, "chunked"))
      return "the Transfer-Encoding is not exactly chunked";
    framing.kind = Framing::Kind::chunked;
  } else if (said.content_length) {
    if (!lexical::parse_length(*said.content_length, framing.length))
      return "the Content-Length is not a number";
    framing.kind = Framing::Kind::length;
  }
  return nullptr;
}

bool lives_on(const Said& said, bool http_1_0) {
  return !said.close && (!http_1_0 || said.keep_alive);
}

// What a URI's authority may not have; names and ports are judged where they are used.
const char* wrong_host(const std::string& host) {
  if (host.empty()) return nullptr;
  const bool more = std::any_of(host.begin(), host.end(), [](char c) {
    return c == '/' || c == '?' || c == '#' || c == '@' || c == '\\' || c == ',' || c == '"' ||
           c == '<' || c == '>';
  });
  return lexical::is_visible(host) && !more ? nullptr : "the Host field is not a host";
}

bool never_has_body(int status, std::string_view request_method) {
  if (status < 200 || status == 204) return true;
  return request_method == "CONNECT" && status < 300;
}

}  // namespace

Result<void> frame_request(RequestHead& head) {
  const Said said = read_fields(head.fields);
  const char* wrong = frame(said, head.http_1_0, Framing::Kind::none, head.framing);
  if (!wrong && !said.host && !head.http_1_0) wrong = "there is no Host field";
  if (!wrong && said.host) wrong = wrong_host(*said.host);
  const bool has_body = head.framing.kind == Framing::Kind::chunked || head.framing.length > 0;
  if (!wrong && has_body && head.method == "CONNECT") wrong = "CONNECT has no body";
  if (wrong) return fail(lexical::malformed(Message::request, wrong));

  head.keep_alive = lives_on(said, head.http_1_0);
  head.expect_continue = said.expect_continue && !head.http_1_0 && has_body;
  if (said.transfer_encoding) head.fields.erase("Transfer-Encoding");
  if (said.content_length) head.fields.erase("Content-Length");
  return {};
}

Result<void> frame_response(ResponseHead& head, std::string_view request_method) {
  const Said said = read_fields(head.fields);
  const char* wrong = frame(said, head.http_1_0, Framing::Kind::until_close, head.framing);
  if (wrong) return fail(lexical::malformed(Message::response, wrong));

  head.keep_alive = lives_on(said, head.http_1_0);
  bool erase_length = head.framing.kind == Framing::Kind::length;
  if (never_has_body(head.status, request_method)) {
    // One that announces a body all the same may send it, as if it were the next response.
    const bool announced = head.framing.kind == Framing::Kind::chunked || head.framing.length > 0;
    if (announced) head.keep_alive = false;
    head.framing = Framing{Framing::Kind::none, 0};
  } else if (request_method == "HEAD" || head.status == 304) {
    erase_length = false;
    head.framing = Framing{Framing::Kind::none, 0};
  }
  if (said.transfer_encoding) head.fields.erase("Transfer-Encoding");
  if (erase_length) head.fields.erase("Content-Length");
  return {};
}

}  // namespace nono::http
