// The chunked coding: the same bytes give the same content or the same refusal however they are
// cut, and a body that is accepted means the same to a reader of another make. The first byte of
// the input says where to cut.
#include <charconv>
#include <optional>

#include "proxy/http/chunked.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono::fuzz;
using nono::http::ChunkDecoder;

struct Outcome {
  std::string content;
  std::size_t used = 0;
  bool refused = false, done = false;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(std::string_view bytes, std::uint8_t seed) {
  ChunkDecoder decoder;
  Outcome outcome;
  for (const std::string_view cut : split(bytes, seed)) {
    if (decoder.done()) break;
    std::string piece(cut);  // decoded in place, as the proxy does
    ChunkDecoder::Progress progress;
    const char* wrong = decoder.decode(piece, piece.data(), progress);
    expect(progress.used <= piece.size() && progress.content <= progress.used);
    outcome.content.append(piece, 0, progress.content);
    outcome.used += progress.used;
    outcome.refused = wrong != nullptr;
    if (outcome.refused) break;
    expect(decoder.done() || progress.used == piece.size());
  }
  outcome.done = decoder.done();
  return outcome;
}

// Line by line, as a simple server does it. Nothing where it is cut off.
std::optional<std::string> decode_simply(std::string_view body) {
  std::string content;
  for (;;) {
    const std::size_t end = body.find("\r\n");
    if (end == body.npos) return std::nullopt;
    const std::string_view line = body.substr(0, end);
    std::uint64_t size = 0;
    const auto digits = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    if (digits.ec != std::errc()) return std::nullopt;
    body.remove_prefix(end + 2);
    if (size == 0) break;
    if (body.size() < size + 2) return std::nullopt;
    content += body.substr(0, size);
    body.remove_prefix(size + 2);
  }
  // Trailers: up to the first empty line, which must be the very end.
  const bool ends =
      body == "\r\n" || (body.ends_with("\r\n\r\n") && body.find("\r\n\r\n") == body.size() - 4);
  return ends ? std::optional(content) : std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint8_t seed = input.byte();
  const Outcome whole = decode(input.rest(), 0);
  expect(decode(input.rest(), seed) == whole);
  expect(decode(input.rest(), 1) == whole);
  if (!whole.done) return 0;
  expect(!whole.refused);
  const auto simple = decode_simply(input.rest().substr(0, whole.used));
  expect(simple.has_value() && *simple == whole.content);
  return 0;
}
