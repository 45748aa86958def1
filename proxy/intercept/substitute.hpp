#pragma once
// Puts the real key where the client put its phantom. Works on one request bound for a credential's
// own upstream, target in origin form and already normalised (what is rewritten is what is sent).

#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "proxy/http/head.hpp"
#include "proxy/server.hpp"

namespace nono::intercept {

enum class SubstituteMode : std::uint8_t {
  reverse,    // /<credential>/...: the phantom is also the session's token, so it is required
  intercept,  // the vendor's own host: a request without any credential passes without one
};

enum class SubstituteRefusal : std::uint8_t {
  foreign_credential,  // 403: a key that is not our phantom
  missing_phantom,     // 401, reverse form only
  secret_missing,      // 503: the phantom is right, but there is no key to put in its place
  malformed,           // 400: a credential field that cannot be read
};

struct SubstituteFailure {
  SubstituteRefusal refusal = SubstituteRefusal::malformed;
  Error error;  // the sentence and its remedy; never a key, never a phantom
};

struct Substitution {
  bool used = false;       // the real key is now in `head`
  std::string credential;  // its name, for the audit line
};

// The one of `credentials` whose phantom `head` presents, or nullptr: for hosts that several
// credentials share (gemini and google-ai).
const LoadedCredential* presented(const http::RequestHead& head,
                                  std::span<const LoadedCredential* const> credentials);

// The client may present the phantom in the injection's own place, in any of the header fields that
// carry keys (Authorization with Bearer, token or Basic, X-Api-Key, X-Goog-Api-Key, Private-Token,
// ...), in a query parameter, or in the path where the injection is there. It is removed from all
// of them and the key is written at the injection's place. Any other credential in one of those
// places is refused. On failure `head` is unchanged. Afterwards PhantomScanner::contains(head) must
// be false, or the request is refused.
tl::expected<Substitution, SubstituteFailure> substitute(http::RequestHead& head,
                                                         const LoadedCredential& credential,
                                                         SubstituteMode mode);

// Overwrites target and field values: for a head that carried a key and has been sent.
void wipe_head(http::RequestHead& head) noexcept;

}  // namespace nono::intercept
