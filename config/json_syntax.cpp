#include "config/json_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace nono {
namespace {

constexpr int depth_max = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Checker {
 public:
  explicit Checker(std::string_view text) : text_(text), out_(text) {}

  Result<std::string> run() {
    if (!blanks() || !value(0) || !blanks()) return tl::unexpected<Error>(error_);
    if (at_ != text_.size()) {
      complain(fmt::format("unexpected {} after the end of the document", here()));
      return tl::unexpected<Error>(error_);
    }
    return std::move(out_);
  }

 private:
  bool complain(std::string_view what) {
    TextPosition p = position_at(text_, at_);
    error_ =
        Error{Side::self, ErrorCode::bad_input, fmt::format("{}:{}: {}", p.line, p.column, what)};
    return false;
  }

  std::string here() const {
    if (at_ >= text_.size()) return "end of file";
    unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c < 0x20 || c >= 0x7f) return fmt::format("byte 0x{:02x}", c);
    return fmt::format("'{}'", text_[at_]);
  }

  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  void blank(std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      if (out_[i] != '\n' && out_[i] != '\r') out_[i] = ' ';
    }
  }

  // White space and comments.
  bool blanks() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        if (c == '\t') out_[at_] = ' ';
        ++at_;
      } else if (c == '/' && peek(1) == '/') {
        std::size_t end = std::min(text_.find('\n', at_), text_.size());
        blank(at_, end);
        at_ = end;
      } else if (c == '/' && peek(1) == '*') {
        std::size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return complain("this comment has no end");
        blank(at_, end + 2);
        at_ = end + 2;
      } else {
        break;
      }
    }
    return true;
  }

  bool value(int depth) {
    if (depth > depth_max) return complain("nested too deeply");
    switch (peek()) {
      case '{':
        return members('}', depth);
      case '[':
        return members(']', depth);
      case '"':
        return string();
      default:
        return at_ < text_.size() && (peek() == '-' || is_digit(peek())) ? number() : word();
    }
  }

  // An object or an array.
  bool members(char close, int depth) {
    ++at_;
    std::size_t comma = std::string_view::npos;
    for (;;) {
      if (!blanks()) return false;
      if (at_ < text_.size() && peek() == close) break;
      if (close == '}' && !key()) return false;
      if (!value(depth + 1) || !blanks()) return false;
      comma = std::string_view::npos;
      if (at_ < text_.size() && peek() == close) break;
      if (peek() != ',') {
        return complain(fmt::format("expected ',' or '{}', found {}", close, here()));
      }
      comma = at_++;
    }
    if (comma != std::string_view::npos) out_[comma] = ' ';
    ++at_;
    return true;
  }

  bool key() {
    if (peek() != '"')
      return complain(fmt::format("expected a key in double quotes, found {}", here()));
    if (!string() || !blanks()) return false;
    if (peek() != ':') return complain(fmt::format("expected ':' after the key, found {}", here()));
    ++at_;
    // YAML wants a space after the colon unless the key is quoted, which it is.
    return blanks();
  }

  bool string() {
    for (++at_; at_ < text_.size(); ++at_) {
      unsigned char c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\n' || c == '\r') return complain("this string has no closing quote");
      if (c < 0x20) return complain("control character in a string");
      if (c == '\\' && !escape()) return false;
    }
    return complain("this string has no closing quote");
  }

  bool escape() {
    char kind = peek(1);
    if (kind == 'u') {
      for (std::size_t i = 2; i < 6; ++i) {
        if (!is_hex(peek(i))) return complain("\\u wants four hexadecimal digits");
      }
      if ((peek(2) == 'd' || peek(2) == 'D') && peek(3) >= '8') {
        return complain("write characters beyond U+FFFF as they are, not as \\u pairs");
      }
      at_ += 5;
      return true;
    }
    if (std::string_view("\"\\/bfnrt").find(kind) == std::string_view::npos || kind == '\0') {
      return complain("unknown escape in a string");
    }
    ++at_;
    return true;
  }

  bool number() {
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) return complain("a number wants a digit here");
    if (peek() == '0' && is_digit(peek(1))) return complain("numbers have no leading zeros");
    while (is_digit(peek())) ++at_;
    if (peek() == '.' && is_digit(peek(1))) {
      ++at_;
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
      if (!is_digit(peek(1 + sign))) return complain("an exponent wants a digit");
      at_ += 1 + sign;
      while (is_digit(peek())) ++at_;
    }
    return true;
  }

  bool word() {
    for (std::string_view known : {"true", "false", "null"}) {
      if (text_.substr(at_).starts_with(known)) {
        at_ += known.size();
        return true;
      }
    }
    return complain(fmt::format("expected a value, found {}", here()));
  }

  std::string_view text_;
  std::string out_;
  std::size_t at_ = 0;
  Error error_;
};

}  // namespace

TextPosition position_at(std::string_view text, std::size_t offset) {
  TextPosition p;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++p.line;
      p.column = 1;
    } else {
      ++p.column;
    }
  }
  return p;
}

Result<std::string> json_to_yaml(std::string_view text) {
  return Checker(text).run();
}

}  // namespace nono
