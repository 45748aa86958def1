// Requests bound for a credential's upstream: the key is put in only where the phantom was shown,
// into its own place alone, and no request can bend that place into another field or request.
// Bytes: how the key is injected, which way in; then a request head, whose low control characters
// stand for forms of the phantom.
#include "proxy/intercept/phantoms.hpp"
#include "proxy/intercept/substitute.hpp"
#include "tests/fuzz/heads.hpp"
#include "tests/fuzz/secrets.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;
using namespace nono::http;

const std::string phantom =
    "sk-nono_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
constexpr std::string_view key =
    "REAL:/?#&=% \"\\KEY\x80"
    "end";

LoadedCredential credential_of(std::size_t kind) {
  LoadedCredential credential;
  credential.secret = Secret(key);
  credential.phantom = phantom;
  Injection& injection = credential.route.injection;
  injection.mode = static_cast<InjectMode>(kind);
  injection.query_param = "key";
  injection.path_pattern = "/bot{}/";
  return credential;
}

bool carries_key(std::string_view text) {
  return holds(text, "REAL") || holds_in_base64(text, "REAL");
}

bool any_name_carries_key(const RequestHead& head) {
  const FieldList& fields = head.fields.all();
  return std::any_of(fields.begin(), fields.end(),
                     [](const Field& field) { return carries_key(field.name); });
}

// The places at which a head carries the key, in any form. No field's name ever is one.
std::size_t places(const RequestHead& head) {
  expect(!any_name_carries_key(head));
  std::size_t count = carries_key(head.target) ? 1 : 0;
  for (const Field& field : head.fields.all()) {
    if (carries_key(field.value)) ++count;
  }
  return count;
}

void try_substitute(const RequestHead& asked, std::size_t kind, intercept::SubstituteMode mode) {
  const LoadedCredential credential = credential_of(kind);
  RequestHead head = asked;
  const auto done = intercept::substitute(head, credential, mode);
  if (!done || !done->used) {
    expect(head.target == asked.target && places(head) == 0);
    if (!done) expect(!holds(done.error().error.what, phantom));
    return;
  }
  const intercept::PhantomScanner scanner({phantom});
  expect(scanner.contains(asked));
  expect(places(head) == 1);
  if (scanner.contains(head)) return;  // the caller refuses it
  expect(head.target.starts_with(asked.target.substr(0, 1)));
  for (const char c : head.target) expect(c > ' ' && c != 0x7f);
  HeadLimits limits;
  limits.head_bytes_max *= 4;
  limits.request_line_bytes_max *= 4;
  limits.fields_max += 2;
  const auto again = parse_request_head(serialize(head), limits);
  expect(again.has_value() && again->target == head.target);
  // At most one field more than the same request has that carries no key. Both have what
  // serialize() adds for framing and Connection.
  const auto without = parse_request_head(serialize(asked), limits);
  expect(without.has_value());
  expect(again->fields.all().size() <= without->fields.all().size() + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::size_t kind = input.choice(4);
  const auto mode =
      input.coin() ? intercept::SubstituteMode::reverse : intercept::SubstituteMode::intercept;
  const std::string bytes = expand(input.rest(), phantom);
  auto head = parse_request_head(bytes, HeadLimits{});
  if (!head || !head->target.starts_with('/')) return 0;
  // A client that knew the key could write it anywhere: what is asked is where we put it.
  if (any_name_carries_key(*head) || places(*head) != 0) return 0;
  remove_hop_by_hop(head->fields);
  try_substitute(*head, kind, mode);
  return 0;
}
