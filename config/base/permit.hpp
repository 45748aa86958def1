#pragma once
// What the policy engine says: a Permit or a Refusal, each with its reason. Resolving and dialling
// take a Permit, and only the engine can make one, so no path can reach a target nobody approved.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/base/host.hpp"

namespace nono {

namespace policy {
class Engine;
}

enum class Reason : std::uint8_t {
  rule_allows,        // a host, address or URL rule
  credential_route,   // enabling a credential allows its upstream
  open_network,       // no network flag was given: nothing is filtered
  observed,           // observe mode lets pass what no rule allows
  no_rule,            // nothing allows it
  rule_denies,        // a deny rule
  network_blocked,    // --block-net
  always_denied,      // metadata or link-local; no flag lifts that
  private_address,    // resolves into, or is, a range that allow_private does not name
  endpoint_denied,    // host allowed, but not this method and path
  bad_target,         // the target cannot be read as one
  foreign_credential, // a key that is not our phantom, on a credential route
  phantom_elsewhere,  // our phantom on its way to a place it is not for
  no_token,           // missing or wrong session token
  authority_mismatch, // CONNECT host, SNI and Host do not agree
  limit,
  upstream_failed,    // allowed, but resolving, connecting or TLS failed
  secret_missing,
  internal,           // nono itself could not: no room in a required audit log, a failed system call
  malformed,          // the request cannot be parsed
};
std::string_view to_string(Reason reason);

// Names the rule that decided; the 403 body, the audit line and `nono why` all print this value.
struct Because {
  Reason reason = Reason::no_rule;
  std::string rule;  // the rule as the user wrote it, e.g. "*.example.com:443"; empty where none
};

// How a permitted connection is handled.
enum class Handling : std::uint8_t {
  tunnel,     // opaque bytes both ways
  intercept,  // TLS is terminated here: a credential route or path rules exist for this host
};

// Which of a name's addresses may be dialled. Immutable, shared by all permits of one engine.
struct AddressPolicy {
  std::vector<Cidr> allow_private;  // ranges of private, loopback, ULA, CGNAT, ... that are allowed
  // Observe mode: private ranges and deny rules hold nobody back (never_allowed() does, as ever).
  bool observe = false;

  // A deny rule that names addresses. It holds for what a name resolves to as well, for every IPv6
  // address that leads to one of them (embedded_v4()), and before everything that allows.
  struct Denied {
    Cidr range;
    std::optional<Port> port;  // none: every port
    std::string rule;          // as the user wrote it
  };
  std::vector<Denied> denied = {};
  // The rule that denies this address on this port, or null.
  const Denied* denies(const IpAddress& address, Port port) const;
};

// No: with the reason, a sentence, and the flag or step that would change it.
struct Refusal {
  Because because;
  std::string detail;  // "evil.example:443 is in no rule"
  std::string fix;     // "allow it with --allow-domain evil.example"
};

// What the rules say about the TLS inside an opaque tunnel to one host and port. Of several rules that
// allow it, one that accepts any SNI suffices, and one that refuses ECH refuses it.
struct TunnelRules {
  bool any_sni = false;     // no SNI, or another host's, is accepted
  bool refuse_ech = false;  // a ClientHello with encrypted_client_hello is refused, GREASE as well
};

// Yes, to exactly this target.
class Permit {
 public:
  const HostPort& target() const { return target_; }
  Handling handling() const { return handling_; }
  const Because& because() const { return because_; }
  // True where a rule names this address or a range around it literally, or the user's own config does:
  // then its class does not matter (except metadata and link-local, which are never allowed).
  bool literal() const { return literal_; }
  const AddressPolicy& addresses() const { return *addresses_; }
  const TunnelRules& tunnel_rules() const { return tunnel_rules_; }
  // Where observe mode let pass what is refused otherwise: that refusal, for the audit record. Null else.
  const Refusal* set_aside() const { return set_aside_.get(); }

 private:
  friend class policy::Engine;
  Permit(HostPort target, Handling handling, Because because, bool literal,
         std::shared_ptr<const AddressPolicy> addresses)
      : target_(std::move(target)),
        because_(std::move(because)),
        addresses_(std::move(addresses)),
        handling_(handling),
        literal_(literal) {}

  HostPort target_;
  Because because_;
  std::shared_ptr<const AddressPolicy> addresses_;
  std::shared_ptr<const Refusal> set_aside_;
  TunnelRules tunnel_rules_;
  Handling handling_;
  bool literal_;
};

using Decision = std::variant<Refusal, Permit>;  // Refusal first: a default Decision refuses.

}  // namespace nono
