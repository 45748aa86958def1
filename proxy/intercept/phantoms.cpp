#include "proxy/intercept/phantoms.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>

#include "config/base/secret.hpp"
#include "config/base/encoding.hpp"
#include "config/base/random.hpp"
#include "proxy/server.hpp"

namespace nono {

std::string make_token() {
  std::array<unsigned char, 32> bytes{};
  // A start-up failure: without randomness there is no session.
  if (!fill_random(bytes)) {
    throw std::runtime_error("the system gives no random numbers");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string token;
  token.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    token += digits[byte >> 4];
    token += digits[byte & 15];
  }
  wipe(bytes.data(), bytes.size());
  return token;
}

std::string make_phantom(std::string_view prefix) {
  return std::string(prefix) + "nono_" + make_token();
}

}  // namespace nono

namespace nono::intercept {

namespace {

constexpr std::string_view infix = "nono_";
constexpr std::size_t tail_size = 64;
// Base64 of a whole phantom is longer than this; shorter runs need no decoding.
constexpr std::size_t base64_run_min = (infix.size() + tail_size) / 3 * 4;
constexpr int percent_layers_max = 3;
constexpr std::size_t token_size_min = 16;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// How many of the last bytes may be the beginning of a phantom.
std::size_t unfinished(std::string_view text) {
  const std::size_t window = std::min(text.size(), infix.size() + tail_size - 1);
  const std::string_view end = text.substr(text.size() - window);
  const std::size_t start = end.rfind(infix);
  if (start != end.npos) {
    std::size_t at = start + infix.size();
    while (at < end.size() && is_hex(end[at])) ++at;
    if (at == end.size()) return end.size() - start;
  }
  for (std::size_t size = infix.size() - 1; size > 0; --size) {
    if (text.ends_with(infix.substr(0, size))) return size;
  }
  return 0;
}

}  // namespace

PhantomScanner::PhantomScanner(const std::vector<std::string>& phantoms, std::string_view token) {
  for (const std::string& phantom : phantoms) {
    const std::size_t start = phantom.rfind(infix);
    if (start != phantom.npos) tails_.insert(phantom.substr(start + infix.size()));
  }
  if (token.size() < token_size_min) return;
  std::vector<Matcher::Pair> forms;
  forms.push_back(Matcher::Pair{std::string(token), {}});
  for (const Base64 alphabet : {Base64::standard, Base64::url_safe}) {
    for (std::size_t lead = 0; lead < 3; ++lead) {
      forms.push_back(Matcher::Pair{base64_inside(token, lead, alphabet), {}});
    }
  }
  token_ = Matcher::build(std::move(forms));
}

bool PhantomScanner::knows(std::string_view tail, PhantomBook* others) const {
  if (!std::all_of(tail.begin(), tail.end(), is_hex)) return false;
  return tails_.count(std::string(tail)) != 0 || (others != nullptr && others->holds(tail));
}

namespace {

// `visit(tail)` for whatever could be a phantom's tail, until it says true.
template <class Visit>
bool search_plain(std::string_view text, const Visit& visit) {
  for (std::size_t at = text.find(infix); at != text.npos; at = text.find(infix, at + 1)) {
    const std::string_view tail = text.substr(at + infix.size(), tail_size);
    if (tail.size() == tail_size && visit(tail)) return true;
  }
  return false;
}

template <class Visit>
bool search_base64(std::string_view text, const Visit& visit) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_base64_char(text[end])) ++end;
    const std::string_view run = text.substr(at, end - at);
    // The coded text may begin anywhere in the run: only its place modulo 4 matters.
    for (std::size_t skip = 0; run.size() >= base64_run_min && skip < 4; ++skip) {
      std::string_view coded = run.substr(skip);
      if (coded.size() % 4 == 1) coded.remove_suffix(1);
      const std::optional<std::string> plain = base64_decode(coded);
      if (plain && search_plain(*plain, visit)) return true;
    }
    at = end + 1;
  }
  return false;
}

template <class Visit>
bool search(std::string_view text, const Visit& visit) {
  if (text.size() < infix.size() + tail_size) return false;
  if (search_plain(text, visit) || search_base64(text, visit)) return true;
  if (text.find('%') == text.npos) return false;
  std::string decoded = percent_decode(text);
  for (int layer = 1; layer < percent_layers_max; ++layer) {
    if (search_plain(decoded, visit) || search_base64(decoded, visit)) return true;
    decoded = percent_decode(decoded);
  }
  return search_plain(decoded, visit) || search_base64(decoded, visit);
}

}  // namespace

std::vector<std::string> phantom_tails(const http::RequestHead& head) {
  std::vector<std::string> tails;
  const auto note = [&](std::string_view tail) {
    if (std::all_of(tail.begin(), tail.end(), is_hex)) tails.emplace_back(tail);
    return false;
  };
  search(head.target, note);
  for (const http::Field& field : head.fields.all()) search(field.value, note);
  return tails;
}

bool PhantomScanner::contains_plain(std::string_view text, PhantomBook* others) const {
  return search_plain(text, [&](std::string_view tail) { return knows(tail, others); });
}

bool PhantomScanner::contains(std::string_view text, PhantomBook* others) const {
  return search(text, [&](std::string_view tail) { return knows(tail, others); });
}

bool PhantomScanner::contains(const http::RequestHead& head, PhantomBook* others) const {
  if (tails_.empty() && others == nullptr) return false;
  if (contains(head.target, others) || contains(head.method, others)) return true;
  const http::FieldList& fields = head.fields.all();
  return std::any_of(fields.begin(), fields.end(), [&](const http::Field& field) {
    return contains(field.value, others) || contains(field.name, others);
  });
}

bool PhantomScanner::contains_token(const http::RequestHead& head) const {
  if (token_.empty()) return false;
  const http::FieldList& fields = head.fields.all();
  return token_.finds(head.target) ||
         std::any_of(fields.begin(), fields.end(), [&](const http::Field& field) {
           return token_.finds(field.value) || token_.finds(field.name);
         });
}

class PhantomGuard final : public http::BodyFilter {
 public:
  PhantomGuard(const PhantomScanner& scanner, PhantomBook* others)
      : scanner_(scanner), others_(others) {}

  bool passes(std::string_view in, bool last) override {
    const bool whole = held_.empty() && (last || unfinished(in) == 0);
    return whole && !scanner_.contains_plain(in, others_);
  }
  Result<void> feed(std::string_view in, std::string& out) override {
    if (held_.empty()) return pass(in, out);
    const std::string text = std::exchange(held_, {}).append(in);
    return pass(text, out);
  }
  Result<void> finish(std::string& out) override {
    out += std::exchange(held_, {});
    return {};
  }

 private:
  Result<void> pass(std::string_view text, std::string& out) {
    if (scanner_.contains_plain(text, others_)) {
      return fail(ErrorCode::refused, "the body holds a phantom of another credential", {},
                  Side::client);
    }
    const std::size_t kept = unfinished(text);
    out.append(text.substr(0, text.size() - kept));
    held_.assign(text.substr(text.size() - kept));
    return {};
  }

  const PhantomScanner& scanner_;
  PhantomBook* others_;
  std::string held_;
};

std::unique_ptr<http::BodyFilter> PhantomScanner::guard(PhantomBook* others) const {
  return std::make_unique<PhantomGuard>(*this, others);
}

}  // namespace nono::intercept
