// The chunked coding: the same bytes give the same content or the same refusal however they are
// cut. The first byte of the input says where.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/http/chunked.hpp"

namespace {

using nono::http::ChunkDecoder;

struct Outcome {
  std::string content;
  std::size_t used = 0;
  bool refused = false, done = false;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(std::string_view bytes, std::size_t piece_bytes) {
  ChunkDecoder decoder;
  Outcome outcome;
  while (!bytes.empty() && !decoder.done()) {
    std::string piece(bytes.substr(0, piece_bytes));  // decoded in place, as the proxy does
    ChunkDecoder::Progress progress;
    const char* wrong = decoder.decode(piece, piece.data(), progress);
    if (progress.used > piece.size() || progress.content > progress.used) std::abort();
    outcome.content.append(piece, 0, progress.content);
    outcome.used += progress.used;
    if (wrong) {
      outcome.refused = true;
      return outcome;
    }
    if (!decoder.done() && progress.used != piece.size()) std::abort();
    bytes.remove_prefix(progress.used);
  }
  outcome.done = decoder.done();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = decode(bytes, bytes.size());
  const Outcome pieces = decode(bytes, std::size_t{1} + data[0]);
  if (!(whole == pieces)) std::abort();
  return 0;
}
