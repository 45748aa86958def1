#pragma once
// The policy engine: pure, immutable once built, no I/O, no clock. Safe to share between threads.

#include <memory>
#include <string_view>
#include <vector>

#include "config/base/permit.hpp"
#include "config/config.hpp"

namespace nono::policy {

struct CompiledRules;
struct Route;

// What an HTTP request inside an intercepted or plain connection asks for.
struct RequestTarget {
  std::string_view method;
  std::string_view path;  // origin-form as received, query included
};

// Decides hosts by hash lookup: the cost does not grow with the number of rules.
class Engine {
 public:
  // Compiles and checks every rule; all that is wrong with them is in one Error (code bad_input),
  // one line each. Enabling a credential route allows its upstream. Public-suffix wildcards are
  // refused.
  static Result<std::shared_ptr<const Engine>> make(const NetworkRules& rules,
                                                    const std::vector<CredentialRoute>& routes);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // May a connection go to `target`? Deny rules win; always-denied addresses are refused whatever
  // the rules. Name targets are judged by name only: addresses are judged after resolution, against
  // Permit::addresses(). `handling()` is intercept where a credential route or endpoint rules exist
  // for the host and port. A permit for intercept still needs decide_request for each request.
  // Observe mode: what deny rules or the lack of a rule refuse is permitted with Reason::observed,
  // its rule the one that would have refused (empty: none allows it) and Permit::set_aside() that
  // refusal.
  Decision decide(const HostPort& target) const;

  // May this name be looked up at all? Yes where decide() permits it on any port; the permit's
  // target has one of those ports. Deny rules win here where they cover every port that is allowed.
  Decision decide_name(const HostName& name) const;

  // May this request be made on a permitted target? Always allowed where the host has no endpoint
  // rules. On success `path` is the normalised origin-form (RFC 3986 6.2.2: percent-decoded once
  // where unreserved, dot segments resolved) that must be forwarded; what is matched is what is
  // sent. Observe mode: what would be refused is allowed with Reason::observed, except on a
  // credential's upstream; a path that cannot be normalised is then forwarded as it came.
  struct RequestDecision {
    bool allowed = false;
    Because because;
    std::string path;
    Refusal refusal;  // where not allowed, and where observe mode set it aside
  };
  RequestDecision decide_request(const Permit& permit, const RequestTarget& request) const;

  // The credential routes whose upstream is this target (indexes into the routes given to make).
  std::vector<std::size_t> routes_for(const HostPort& target) const;

  // The permit for a credential route's own upstream, as the reverse form uses it. Lives as long as
  // the engine.
  const Decision& decide_route(std::size_t route) const;

  // May a program inside reach this port of the host's loopback? Only where --open-port names it.
  Decision decide_open_port(Port port) const;

  // The permit for the user's own upstream proxy: the configuration names that one place, private
  // or not.
  static Permit permit_upstream_proxy(const HostPort& address);

 private:
  struct Compiled;
  explicit Engine(std::unique_ptr<const Compiled> compiled);
  static Decision judge_route(const CompiledRules& rules, const Route& wanted);
  // Makes `permit` one that only observe mode gives.
  static void observe(Permit& permit, Refusal refusal);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace nono::policy
