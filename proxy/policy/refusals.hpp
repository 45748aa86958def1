#pragma once
// The sentences of refusals: what was refused, and the flag or step that would change it. The proxy
// prints them in reason phrases, bodies, audit lines and the footer, so they are short, plain
// ASCII.

#include <string>
#include <string_view>

#include "config/base/permit.hpp"
#include "proxy/policy/compiled.hpp"

namespace nono::policy {

Refusal blocked_refusal(const HostPort& target);

// For metadata services and link-local addresses; nothing for every other target.
std::optional<Refusal> always_denied_refusal(const HostPort& target);

// Loopback inside a sandbox is its own.
Refusal loopback_refusal(const HostPort& target);

Refusal denied_refusal(const HostPort& target, const Denial& denial);

// `found` is the failed look-up in `rules.allow`.
Refusal no_rule_refusal(const HostPort& target, const CompiledRules& rules,
                        const HostIndex::Found& found);

// For a name that is looked up, before any port is known.
Refusal name_refusal(const HostName& name, const CompiledRules& rules);

// `path` is normalised. Its query is left out: it may hold what should not be printed. `rule` is
// the one that `allowed` stands for.
Refusal endpoint_refusal(const HostPort& target, const Allowed& allowed, const CompiledRules& rules,
                         const std::string& rule, std::string_view method, std::string_view path);
Refusal denied_endpoint_refusal(const HostPort& target, const Denial& denial,
                                std::string_view method, std::string_view path);
Refusal unclear_path_refusal(const HostPort& target, const Error& error);

}  // namespace nono::policy
