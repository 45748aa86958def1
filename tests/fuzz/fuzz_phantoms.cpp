// Phantoms on their way out are found in every form, whatever stands around them; bodies without
// one pass unchanged, wherever they are cut. Bytes: where to cut, which form; then a line before
// it and the text behind it, whose control characters stand for forms of a phantom.
#include "proxy/intercept/phantoms.hpp"
#include "tests/fuzz/secrets.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

const std::string phantom =
    "sk-nono_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Outcome {
  bool fine = true;
  std::string text;
};

Outcome guard(const intercept::PhantomScanner& scanner, std::string_view body, std::uint8_t seed) {
  const auto filter = scanner.guard();
  Outcome outcome;
  for (const std::string_view piece : split(body, seed)) {
    outcome.fine = filter->feed(piece, outcome.text).has_value();
    if (!outcome.fine) return outcome;
  }
  outcome.fine = filter->finish(outcome.text).has_value();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const intercept::PhantomScanner scanner(
      {phantom, "ghp_nono_" + std::string(64, 'a'), "nono_" + std::string(64, '0')});
  Input input(data, size);
  const std::uint8_t seed = input.byte();
  constexpr unsigned whole_forms[] = {1, 4, 5, 6, 7, 8, 11, 12, 14, 15, 19};
  const std::string form = form_of(phantom, whole_forms[input.choice(std::size(whole_forms))]);
  const std::string before = expand(input.line(), phantom);
  const std::string after = expand(input.rest(), phantom);
  expect(scanner.contains(before + form + after));
  expect(scanner.contains(before + percent_encode(form) + after));

  http::RequestHead head;
  head.target = "/?" + before;
  head.fields.add("Cookie", form + after);
  expect(scanner.contains(head));

  const std::string body = before + after;
  const bool theft = scanner.contains_plain(body);
  expect(!holds(body, phantom) || theft);
  for (const std::uint8_t cut : {std::uint8_t{0}, std::uint8_t{1}, seed}) {
    const Outcome outcome = guard(scanner, body, cut);
    expect(outcome.fine == !theft);
    expect(!scanner.contains_plain(outcome.text));
    if (outcome.fine) expect(outcome.text == body);
  }
  return 0;
}
