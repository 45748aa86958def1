#include "proxy/intercept/redact.hpp"

#include <algorithm>
#include <array>

#include "config/base/encoding.hpp"
#include "proxy/intercept/field_values.hpp"
#include "proxy/intercept/inflate.hpp"
#include "proxy/intercept/websocket.hpp"
#include "proxy/net/frame_pool.hpp"

namespace nono::intercept {

namespace {

constexpr std::size_t shortest_key = 4;
constexpr std::size_t shortest_encoded_key = 8;

void add_base64(std::vector<Matcher::Pair>& pairs, std::string_view key, std::string_view phantom) {
  for (const Base64 alphabet : {Base64::standard, Base64::url_safe}) {
    for (std::size_t lead = 0; lead < 3; ++lead) {
      std::string needle = base64_inside(key, lead, alphabet);
      std::string replacement = base64_inside(phantom, lead, alphabet);
      // Groups of four must stay whole for what follows to decode.
      while (!replacement.empty() && replacement.size() % 4 != needle.size() % 4) {
        replacement.pop_back();
      }
      pairs.push_back(Matcher::Pair{std::move(needle), std::move(replacement)});
    }
  }
}

void add_forms(std::vector<Matcher::Pair>& pairs, std::string_view key,
               const std::string& phantom) {
  if (key.size() < shortest_key) return;
  pairs.push_back(Matcher::Pair{std::string(key), phantom});
  if (key.size() < shortest_encoded_key) return;
  pairs.push_back(Matcher::Pair{percent_encode(key), phantom});
  pairs.push_back(Matcher::Pair{percent_encode(key, false), phantom});
  pairs.push_back(Matcher::Pair{json_escape(key), phantom});
  pairs.push_back(Matcher::Pair{json_escape(key, true), phantom});
  add_base64(pairs, key, phantom);
}

// Passes a body through the matcher; keeps back only what may be the beginning of a needle.
class RedactFilter final : public http::BodyFilter, public Pooled {
 public:
  explicit RedactFilter(const Matcher& matcher) : matcher_(matcher) {}
  RedactFilter(const RedactFilter&) = delete;
  RedactFilter& operator=(const RedactFilter&) = delete;
  ~RedactFilter() override { wipe(held_.data(), held_.size()); }

  bool passes(std::string_view in, bool last) override {
    return held_.empty() && matcher_.passes(in, last);
  }
  Result<void> feed(std::string_view in, std::string& out) override {
    if (held_.empty()) {
      const std::size_t kept = matcher_.replace(in, false, out);
      held_.assign(in.substr(in.size() - kept));
      return {};
    }
    held_ += in;
    const std::size_t kept = matcher_.replace(held_, false, out);
    held_.erase(0, held_.size() - kept);
    return {};
  }
  Result<void> finish(std::string& out) override {
    matcher_.replace(held_, true, out);
    held_.clear();
    return {};
  }

 private:
  const Matcher& matcher_;
  std::string held_;
};

// The content codings of a response, identity left out.
std::vector<std::string> codings(const http::Fields& fields) {
  std::vector<std::string> result;
  for (const ListItem& item : list_items(fields, "Content-Encoding")) {
    if (!item.token.empty() && item.token != "identity") result.push_back(item.token);
  }
  return result;
}

// What is true of the coded bytes is not true of the plain ones.
void forget_coding(http::Fields& fields) {
  for (const std::string_view name :
       {"Content-Encoding", "Content-MD5", "Digest", "Content-Digest"}) {
    fields.erase(name);
  }
  if (const std::string* tag = fields.find("ETag"); tag != nullptr && !tag->starts_with("W/")) {
    const std::string weak = "W/" + *tag;
    fields.set("ETag", weak);
  }
}

}  // namespace

void prepare_for_redaction(http::RequestHead& head) {
  bool gzip = false, deflate = false;
  for (const ListItem& item : list_items(head.fields, "Accept-Encoding")) {
    if (item.refused) continue;
    gzip = gzip || item.token == "gzip" || item.token == "x-gzip" || item.token == "*";
    deflate = deflate || item.token == "deflate";
  }
  std::string accept = "identity";
  if (deflate) accept = "deflate";
  if (gzip) accept = deflate ? "gzip, deflate" : "gzip";
  head.fields.set("Accept-Encoding", accept);
  head.fields.erase("Range");
  head.fields.erase("If-Range");
  head.fields.erase("Sec-WebSocket-Extensions");
}

Redactor::Redactor(const LoadedCredential& credential) {
  if (!credential.secret) return;
  const std::string_view key = credential.secret->expose();
  std::vector<Matcher::Pair> pairs;
  pairs.reserve(24);
  add_forms(pairs, key, credential.phantom);
  if (credential.route.injection.mode == InjectMode::basic_auth) {
    const std::size_t colon = key.find(':');
    if (colon != key.npos) add_forms(pairs, key.substr(colon + 1), credential.phantom);
  }
  std::vector<Matcher::Pair> same_length = pairs;
  for (Matcher::Pair& pair : same_length) pair.replacement.assign(pair.needle.size(), '*');
  matcher_ = Matcher::build(std::move(pairs));
  same_length_ = Matcher::build(std::move(same_length));
}

std::string Redactor::redact(std::string_view text) const {
  std::string out;
  matcher_.replace(text, true, out);
  return out;
}

void Redactor::redact_fields(http::ResponseHead& response) const {
  if (matcher_.empty()) return;
  const auto clean = [this](std::string& text) {
    if (matcher_.finds(text)) text = redact(text);
  };
  clean(response.reason);
  for (http::Field& field : response.fields.all()) {
    clean(field.value);
    clean(field.name);
  }
}

Result<std::unique_ptr<http::BodyFilter>> Redactor::on_response(
    http::ResponseHead& response) const {
  redact_fields(response);
  std::unique_ptr<http::BodyFilter> filter;
  if (matcher_.empty() || response.framing.kind == http::Framing::Kind::none) return filter;
  const std::vector<std::string> coded = codings(response.fields);
  filter = std::make_unique<RedactFilter>(matcher_);
  if (coded.empty()) return filter;
  const bool gzip = coded.front() == "gzip" || coded.front() == "x-gzip";
  const bool known = coded.size() == 1 && (gzip || coded.front() == "deflate");
  if (!known || response.status == 206) {
    return fail(
        ErrorCode::bad_response,
        "the response comes in a content coding that was not asked for, so the key could not "
        "be kept out of it",
        {}, Side::upstream);
  }
  forget_coding(response.fields);
  filter = make_inflater(gzip ? Coding::gzip : Coding::deflate, std::move(filter));
  return filter;
}

std::unique_ptr<RelayFilter> Redactor::websocket_filter() const {
  return std::make_unique<WebSocketFilter>(same_length_);
}

}  // namespace nono::intercept
