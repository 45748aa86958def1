#pragma once
// Short ways to build an engine and to ask it, for the tests of policy.

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "proxy/policy/engine.hpp"

namespace nono::policy::test {

struct Setup {
  std::vector<std::string> allow = {};
  std::vector<std::string> deny = {};
  std::vector<std::string> allow_private = {};
  NetworkMode mode = NetworkMode::filtered;
  bool observe = false;
  std::vector<CredentialRoute> routes = {};
};

inline std::shared_ptr<const Engine> engine_with(const Setup& setup) {
  NetworkRules rules;
  rules.mode = setup.mode;
  rules.observe = setup.observe;
  for (const std::string& text : setup.allow) {
    rules.allow.push_back(HostRule{text, {}, Origin{"--allow-domain"}});
  }
  for (const std::string& text : setup.deny) {
    rules.deny.push_back(HostRule{text, {}, Origin{"--deny-domain"}});
  }
  for (const std::string& text : setup.allow_private) {
    rules.allow_private.push_back(*Cidr::parse(text));
  }
  const auto engine = Engine::make(rules, setup.routes);
  if (!engine) FAIL(engine.error().what);
  return *engine;
}

inline CredentialRoute route(std::string name, std::string_view upstream,
                             std::vector<EndpointRule> endpoints = {}) {
  CredentialRoute made;
  made.name = std::move(name);
  made.upstream = *parse_host_port(upstream, https_port);
  made.endpoints = std::move(endpoints);
  return made;
}

inline HostPort target(std::string_view text) {
  const Result<HostPort> parsed = parse_host_port(text);
  if (!parsed) FAIL(parsed.error().what);
  return *parsed;
}

inline bool allowed(const Engine& engine, std::string_view text) {
  return std::holds_alternative<Permit>(engine.decide(target(text)));
}

inline Permit permit_for(const Engine& engine, std::string_view text) {
  Decision decision = engine.decide(target(text));
  if (const auto* refused = std::get_if<Refusal>(&decision)) FAIL(refused->detail);
  return std::get<Permit>(std::move(decision));
}

inline Refusal refusal(const Engine& engine, std::string_view text) {
  Decision decision = engine.decide(target(text));
  if (std::holds_alternative<Permit>(decision)) FAIL(text << " was allowed");
  return std::get<Refusal>(std::move(decision));
}

}  // namespace nono::policy::test
