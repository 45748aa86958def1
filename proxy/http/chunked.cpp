#include "proxy/http/chunked.hpp"

#include <algorithm>
#include <cstring>

#include "proxy/http/lexical.hpp"

namespace nono::http {

namespace {

constexpr std::uint64_t chunk_bytes_max = std::uint64_t{1} << 62;
constexpr std::uint32_t size_digits_max = 16;
constexpr std::uint32_t extension_bytes_max = 256;
constexpr std::uint32_t extensions_bytes_max = 16 * 1024;
constexpr std::uint32_t trailer_bytes_max = 8 * 1024;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = lexical::lower(c);
  if (small >= 'a' && small <= 'f') return small - 'a' + 10;
  return -1;
}

bool is_text_character(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

}  // namespace

const char* ChunkDecoder::decode(std::string_view in, char* out, Progress& progress) {
  progress = Progress{};
  while (progress.used < in.size() && state_ != State::done) {
    if (state_ != State::data) {
      if (const char* wrong = step(in[progress.used])) return wrong;
      ++progress.used;
      continue;
    }
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, in.size() - progress.used));
    std::memmove(out + progress.content, in.data() + progress.used, count);  // `out` may be `in`
    progress.used += count;
    progress.content += count;
    remaining_ -= count;
    if (remaining_ == 0) state_ = State::data_cr;
  }
  return nullptr;
}

const char* ChunkDecoder::expect(char c, char wanted, State next) {
  if (c != wanted) return "a line of the chunked coding does not end in CRLF";
  state_ = next;
  return nullptr;
}

const char* ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
    case State::size:
    case State::extension:
      return step_size(c);
    case State::size_lf:
      return expect(c, '\n', remaining_ > 0 ? State::data : State::trailer_start);
    case State::data_cr:
      return expect(c, '\r', State::data_lf);
    case State::data_lf:
      digits_ = extension_bytes_ = 0;
      return expect(c, '\n', State::size_first);
    case State::end_lf:
      return expect(c, '\n', State::done);
    default:
      return step_trailer(c);
  }
}

const char* ChunkDecoder::step_size(char c) {
  if (state_ != State::size_first && c == '\r') {
    state_ = State::size_lf;
    return nullptr;
  }
  if (state_ == State::extension) {
    if (!is_text_character(c)) return "a chunk extension has a control character";
    if (++extension_bytes_ > extension_bytes_max || ++extensions_bytes_ > extensions_bytes_max)
      return "the chunk extensions are too long";
    return nullptr;
  }
  if (state_ == State::size && c == ';') {
    state_ = State::extension;
    return nullptr;
  }
  const int value = hex_value(c);
  if (value < 0) return "a chunk size is not a hexadecimal number";
  state_ = State::size;
  remaining_ = remaining_ * 16 + static_cast<std::uint64_t>(value);
  if (++digits_ > size_digits_max || remaining_ > chunk_bytes_max)
    return "a chunk size is too large";
  return nullptr;
}

const char* ChunkDecoder::step_trailer(char c) {
  if (++trailer_bytes_ > trailer_bytes_max) return "the trailer is too long";
  switch (state_) {
    case State::trailer_start:
      if (c == '\r') return expect(c, '\r', State::end_lf);
      if (!lexical::is_token_character(c)) return "a trailer field does not begin with a name";
      state_ = State::trailer_name;
      return nullptr;
    case State::trailer_name:
      if (c == ':') {
        state_ = State::trailer_value;
        return nullptr;
      }
      return lexical::is_token_character(c) ? nullptr : "a trailer field's name is not a token";
    case State::trailer_value:
      if (c == '\r') return expect(c, '\r', State::trailer_lf);
      return is_text_character(c) ? nullptr : "a trailer field has a control character";
    default:
      return expect(c, '\n', State::trailer_start);
  }
}

}  // namespace nono::http
