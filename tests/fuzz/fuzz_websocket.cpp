// A WebSocket's frames on their way to the client: lengths and headers stay, no message shows the
// key in its payloads, nothing depends on where the bytes were cut. Bytes: which key, where to cut;
// then frames, as they are or one line each, whose control characters stand for forms of the key.
#include <algorithm>

#include "tests/fuzz/redactors.hpp"
#include "tests/fuzz/secrets.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

void append_frame(std::string& out, std::string_view payload, std::uint8_t opcode, bool wide) {
  out += static_cast<char>(opcode & 0x8f);
  int length_bytes = 0;
  if (payload.size() > 125) length_bytes = 2;
  if (payload.size() > 65535 || wide) length_bytes = 8;
  if (length_bytes == 0) out += static_cast<char>(payload.size());
  if (length_bytes != 0) out += static_cast<char>(length_bytes == 2 ? 126 : 127);
  for (int i = length_bytes - 1; i >= 0; --i) out += static_cast<char>(payload.size() >> 8 * i);
  out += payload;
}

struct Outcome {
  bool fine = true;
  std::string text;
  bool operator==(const Outcome&) const = default;
};

Outcome filter(const intercept::Redactor& redactor, std::string_view bytes, std::uint8_t seed) {
  const auto filter = redactor.websocket_filter();
  Outcome outcome;
  for (const std::string_view piece : split(bytes, seed)) {
    outcome.fine = filter->feed(piece, outcome.text).has_value();
    expect(outcome.text.size() <= bytes.size());
    if (!outcome.fine) return outcome;
  }
  filter->finish(outcome.text);
  expect(outcome.text.size() == bytes.size());
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Redacted& redacted = redactors()[input.choice(redactors().size())];
  const std::uint8_t seed = input.byte();
  if (input.coin()) {
    const Outcome whole = filter(*redacted.redactor, input.rest(), 0);
    expect(filter(*redacted.redactor, input.rest(), seed) == whole);
    return 0;
  }
  std::string bytes;
  std::vector<std::string> payloads;
  while (!input.rest().empty()) {
    std::uint8_t opcode = input.byte();
    std::string payload = expand(input.line(), redacted.key);
    if ((opcode & 0x08) != 0) {  // a ping or pong: what no standard allows is refused
      opcode = static_cast<std::uint8_t>(0x89 + (opcode & 0x01));
      payload.resize(std::min<std::size_t>(payload.size(), 125));
    }
    payloads.push_back(std::move(payload));
    append_frame(bytes, payloads.back(), opcode, (opcode & 0x28) == 0x20);
  }
  const Outcome whole = filter(*redacted.redactor, bytes, 0);
  expect(whole.fine);
  expect(filter(*redacted.redactor, bytes, seed) == whole);
  std::size_t at = 0;
  struct Text {  // before and after the filter
    std::string sent, passed;
  };
  const auto check = [&](Text& text) {
    expect(!shows(text.passed, redacted.key));
    if (!nearly_shows(text.sent, redacted.key)) expect(text.passed == text.sent);
    text = {};
  };
  Text message, control_frame;
  for (const std::string& payload : payloads) {
    const auto opcode = static_cast<std::uint8_t>(bytes[at]);
    std::string frame;
    append_frame(frame, payload, opcode, bytes[at + 1] == 127);
    const std::size_t header = frame.size() - payload.size();
    expect(whole.text.substr(at, header) == bytes.substr(at, header));
    const bool control = (opcode & 0x08) != 0;
    Text& text = control ? control_frame : message;
    text.sent += payload;
    text.passed += std::string_view(whole.text).substr(at + header, payload.size());
    if ((opcode & 0x80) != 0) check(text);
    at += frame.size();
  }
  check(message);
  expect(at == bytes.size());
  return 0;
}
