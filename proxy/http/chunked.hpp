#pragma once
// The chunked coding, read strictly (RFC 9112 7.1). Private to proxy/http.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nono::http {

// Takes a chunked body apart as it arrives, in pieces of any size. Refused: sizes that are not 1 to
// 16 hex digits or over 2^62, white space around them, line ends other than CRLF, controls or more
// than 256 bytes in one chunk's extensions or 16 KiB in all, malformed trailer fields or more than
// 8 KiB of them. Extensions and trailers are read and dropped.
class ChunkDecoder {
 public:
  struct Progress {
    std::size_t used = 0;     // bytes of `in` that belonged to the body
    std::size_t content = 0;  // bytes written to `out`
  };

  // Decodes `in` to `out`, which must have room for in.size() bytes and may be `in` itself. Stops
  // behind the body's end. Returns null, or what is wrong: then the body is lost, and decode() must
  // not be called again.
  const char* decode(std::string_view in, char* out, Progress& progress);
  bool done() const { return state_ == State::done; }

 private:
  enum class State : std::uint8_t {
    size_first,
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done
  };
  const char* step(char c);
  const char* step_size(char c);
  const char* step_trailer(char c);
  const char* expect(char c, char wanted, State next);

  State state_ = State::size_first;
  std::uint64_t remaining_ = 0;         // of this chunk's data
  std::uint32_t digits_ = 0;            // of this chunk's size
  std::uint32_t extension_bytes_ = 0;   // of this chunk
  std::uint32_t extensions_bytes_ = 0;  // of all chunks
  std::uint32_t trailer_bytes_ = 0;
};

}  // namespace nono::http
