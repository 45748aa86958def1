// Endpoint rules, URL rules and credential routes.

#include <catch2/catch.hpp>

#include "proxy/policy/engine.hpp"
#include "tests/policy/engine_fixture.hpp"

using namespace nono;
using namespace nono::policy;
using namespace nono::policy::test;

namespace {

Engine::RequestDecision ask(const Engine& engine, std::string_view to, std::string_view method,
                            std::string_view path) {
  return engine.decide_request(permit_for(engine, to), RequestTarget{method, path});
}

}  // namespace

TEST_CASE("a URL rule allows only its paths, and so intercepts") {
  const auto engine =
      engine_with({.allow = {"https://example.com/public/**", "https://example.com/other",
                             "http://plain.example/x/**", "whole.example"}});
  const Permit permit = permit_for(*engine, "example.com:443");
  CHECK(permit.handling() == Handling::intercept);
  CHECK(permit_for(*engine, "plain.example:80").handling() == Handling::intercept);
  CHECK(permit_for(*engine, "whole.example:443").handling() == Handling::tunnel);
  CHECK_FALSE(allowed(*engine, "example.com:80"));
  CHECK_FALSE(allowed(*engine, "plain.example:443"));

  struct Row {
    const char* path;
    const char* forwarded;  // null: refused
  };
  const Row rows[] = {
      {"/public/x", "/public/x"},
      {"/public", "/public"},
      {"/public/a/../b?q=%2F", "/public/b?q=%2F"},
      {"/other", "/other"},
      {"/x/../public/%7Eu", "/public/~u"},
      {"/", nullptr},
      {"/publicx", nullptr},
      {"/other/x", nullptr},
      {"/public/../admin", nullptr},
      {"/public/%2e%2e/admin", nullptr},
      {"/public/..%2fadmin", nullptr},
      {"/public/..%5cadmin", nullptr},
      {"/public/..\\admin", nullptr},
      {"/public/..;/admin", nullptr},
      {"/public/%252e%252e/admin", nullptr},
      {"/public/x%00", nullptr},
      {"/PUBLIC/x", nullptr},
      {"*", nullptr},
      {"", nullptr},
      {"https://example.com/public/x", nullptr},
  };
  for (const Row& row : rows) {
    INFO(row.path);
    const auto decision = engine->decide_request(permit, RequestTarget{"GET", row.path});
    CHECK(decision.allowed == (row.forwarded != nullptr));
    if (row.forwarded != nullptr) {
      CHECK(decision.path == row.forwarded);
      CHECK(decision.because.reason == Reason::rule_allows);
    } else {
      CHECK(decision.because.reason == Reason::endpoint_denied);
      CHECK(decision.refusal.because.reason == Reason::endpoint_denied);
      CHECK(decision.path.empty());
      CHECK_FALSE(decision.refusal.detail.empty());
      CHECK_FALSE(decision.refusal.fix.empty());
    }
  }
  const auto refused = engine->decide_request(permit, RequestTarget{"POST", "/admin?key=s3cret"});
  CHECK(refused.refusal.detail == "POST /admin is in no endpoint rule of example.com");
  CHECK(refused.refusal.fix == "allow it with --allow-domain https://example.com/admin");
  CHECK(ask(*engine, "plain.example:80", "GET", "/y").refusal.fix ==
        "allow it with --allow-domain http://plain.example/y");
}

TEST_CASE("where a host has no path rules the path goes on untouched") {
  const auto engine = engine_with({.allow = {"example.com", "https://other.example/x"}});
  for (const char* path : {"/a%2Fb/../c//d?x", "/%2e%2e/..;/%00", "*", "/a\\b#c"}) {
    const auto decision = ask(*engine, "example.com:443", "GET", path);
    CHECK(decision.allowed);
    CHECK(decision.path == path);
    CHECK(decision.because.rule == "example.com");
  }
}

TEST_CASE("two URL rules of one host both hold, and narrow a rule for the whole host") {
  const auto engine = engine_with({.allow = {"example.com", "https://example.com/a/**",
                                             "https://example.com/b/**", "*.example.com"}});
  CHECK(ask(*engine, "example.com:443", "GET", "/a/x").allowed);
  CHECK(ask(*engine, "example.com:443", "GET", "/b/x").allowed);
  CHECK_FALSE(ask(*engine, "example.com:443", "GET", "/c").allowed);
  // Port 80 has no path rule: the whole-host rule is all there is.
  CHECK(ask(*engine, "example.com:80", "GET", "/c").allowed);
  CHECK(permit_for(*engine, "example.com:80").handling() == Handling::tunnel);
  CHECK(permit_for(*engine, "sub.example.com:443").handling() == Handling::tunnel);
}

TEST_CASE("a rule's endpoints name methods and paths, within its URL's path") {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  rules.allow = {
      HostRule{
          "example.com", {EndpointRule{"GET", "/r/*/x", {}}, EndpointRule{"*", "/any", {}}}, {}},
      HostRule{"https://url.example/v1/**", {EndpointRule{"get", "/**/read", {}}}, {}}};
  const auto engine = *Engine::make(rules, {});
  CHECK(ask(*engine, "example.com:443", "GET", "/r/1/x").allowed);
  CHECK(ask(*engine, "example.com:443", "GET", "/r/1/x").because.rule == "example.com: GET /r/*/x");
  CHECK(ask(*engine, "example.com:443", "DELETE", "/any").allowed);
  CHECK_FALSE(ask(*engine, "example.com:443", "POST", "/r/1/x").allowed);
  CHECK_FALSE(ask(*engine, "example.com:443", "GETX", "/r/1/x").allowed);
  CHECK_FALSE(ask(*engine, "example.com:443", "", "/r/1/x").allowed);
  CHECK_FALSE(ask(*engine, "example.com:443", "GET", "/r/1/2/x").allowed);
  CHECK(ask(*engine, "url.example:443", "GET", "/v1/a/read").allowed);
  CHECK_FALSE(ask(*engine, "url.example:443", "GET", "/v2/a/read").allowed);
  CHECK_FALSE(ask(*engine, "url.example:443", "PUT", "/v1/a/read").allowed);
}

TEST_CASE("a denied URL is refused in every spelling, the rest of the host stays open") {
  const auto engine =
      engine_with({.allow = {"example.com", "*.example.com"},
                   .deny = {"https://example.com/admin/**", "https://*.example.com/x"}});
  CHECK(permit_for(*engine, "example.com:443").handling() == Handling::intercept);
  CHECK(ask(*engine, "example.com:443", "GET", "/public//x").allowed);
  CHECK(ask(*engine, "sub.example.com:443", "GET", "/admin").allowed);
  for (const char* path : {"/admin", "/admin/", "/admin/x", "//admin", "/./admin", "/a/../admin/x",
                           "/%61dmin", "/admin;v=1/x", "/;/admin", "/admin?x", "//admin//x"}) {
    INFO(path);
    const auto decision = ask(*engine, "example.com:443", "GET", path);
    CHECK_FALSE(decision.allowed);
    CHECK(decision.because.reason == Reason::rule_denies);
  }
  CHECK_FALSE(ask(*engine, "example.com:443", "GET", "/a%2f..%2fadmin").allowed);
  CHECK_FALSE(ask(*engine, "sub.example.com:443", "GET", "/x").allowed);
  CHECK(allowed(*engine, "example.com:80"));
}

TEST_CASE("a denied path does not hide a denied host around it") {
  const auto engine = engine_with(
      {.allow = {"*.example.com"}, .deny = {"*.example.com", "https://a.example.com/x"}});
  CHECK(refusal(*engine, "a.example.com:443").because.reason == Reason::rule_denies);
}

TEST_CASE("enabling a credential allows its upstream, on its port, intercepted") {
  CredentialRoute plain = route("local", "localhost:11434");
  plain.tls = false;
  const auto engine = engine_with({.routes = {route("openai", "api.openai.example"), plain,
                                              route("address", "10.0.0.1:8443")}});
  const Permit permit = permit_for(*engine, "api.openai.example:443");
  CHECK(permit.handling() == Handling::intercept);
  CHECK(permit.because().reason == Reason::credential_route);
  CHECK(permit.because().rule == "credential openai");
  CHECK_FALSE(permit.literal());
  CHECK(permit.addresses().allow_private.empty());
  CHECK_FALSE(allowed(*engine, "api.openai.example:80"));
  CHECK_FALSE(allowed(*engine, "api.openai.example:8443"));
  CHECK_FALSE(allowed(*engine, "x.api.openai.example:443"));
  CHECK_FALSE(allowed(*engine, "other.example:443"));

  CHECK(permit_for(*engine, "localhost:11434").handling() == Handling::tunnel);
  CHECK_FALSE(permit_for(*engine, "localhost:11434").addresses().allow_private.empty());
  CHECK_FALSE(allowed(*engine, "localhost:443"));
  CHECK(permit_for(*engine, "10.0.0.1:8443").literal());

  CHECK(engine->routes_for(target("api.openai.example:443")) == std::vector<std::size_t>{0});
  CHECK(engine->routes_for(target("localhost:11434")) == std::vector<std::size_t>{1});
  CHECK(engine->routes_for(target("api.openai.example:80")).empty());
  CHECK(engine->routes_for(target("other.example:443")).empty());
}

TEST_CASE("two credentials can share an upstream") {
  const auto engine =
      engine_with({.allow = {"api.example"},
                   .routes = {route("one", "api.example"), route("two", "api.example")}});
  CHECK(engine->routes_for(target("api.example:443")) == std::vector<std::size_t>{0, 1});
  CHECK(permit_for(*engine, "api.example:443").because().reason == Reason::credential_route);
  CHECK(permit_for(*engine, "api.example:80").because().reason == Reason::rule_allows);
}

TEST_CASE("a credential's endpoints restrict its upstream, even where a rule allows the host") {
  const auto engine = engine_with({.allow = {"api.example"},
                                   .routes = {route("svc", "api.example",
                                                    {EndpointRule{"POST", "/v1/chat/**", {}},
                                                     EndpointRule{"GET", "/v1/models", {}}})}});
  CHECK(ask(*engine, "api.example:443", "POST", "/v1/chat/completions").allowed);
  CHECK(ask(*engine, "api.example:443", "GET", "/v1/models").because.rule ==
        "credential svc: GET /v1/models");
  const auto refused = ask(*engine, "api.example:443", "DELETE", "/v1/models");
  CHECK_FALSE(refused.allowed);
  CHECK(refused.refusal.fix == "allow it with --allow-endpoint svc:DELETE:/v1/models");
  CHECK_FALSE(ask(*engine, "api.example:443", "POST", "/v1/chat/../files").allowed);

  const Decision by_route = engine->decide_route(0);
  REQUIRE(std::holds_alternative<Permit>(by_route));
  CHECK_FALSE(engine->decide_request(std::get<Permit>(by_route), {"DELETE", "/v1/models"}).allowed);
}

TEST_CASE("a route's permit is for its upstream, and deny rules still win") {
  Setup setup{.routes = {route("svc", "api.example:8443"), route("meta", "169.254.169.254:80")}};
  {
    const Decision decision = engine_with(setup)->decide_route(0);
    REQUIRE(std::holds_alternative<Permit>(decision));
    CHECK(std::get<Permit>(decision).target().to_string() == "api.example:8443");
    CHECK(std::get<Permit>(decision).because().rule == "credential svc");
    CHECK(std::holds_alternative<Refusal>(engine_with(setup)->decide_route(1)));
    CHECK(std::holds_alternative<Refusal>(engine_with(setup)->decide_route(2)));
  }
  setup.deny = {"api.example"};
  CHECK(std::holds_alternative<Refusal>(engine_with(setup)->decide_route(0)));
  setup.deny.clear();
  setup.mode = NetworkMode::blocked;
  CHECK(std::holds_alternative<Refusal>(engine_with(setup)->decide_route(0)));
}

TEST_CASE("a credential without an upstream or with a broken endpoint is an error") {
  CredentialRoute lost;
  lost.name = "lost";
  CHECK_FALSE(Engine::make({}, {lost}));
  CHECK_FALSE(
      Engine::make({}, {route("svc", "api.example", {EndpointRule{"GET", "no-slash", {}}})}));
}

TEST_CASE("observing lets requests pass that no endpoint rule allows") {
  const auto engine = engine_with({.allow = {"https://example.com/a"}, .observe = true});
  const auto other = ask(*engine, "example.com:443", "GET", "/b");
  CHECK(other.allowed);
  CHECK(other.because.reason == Reason::observed);
  CHECK(other.because.rule == "https://example.com/a");
  CHECK(other.refusal.because.reason == Reason::endpoint_denied);
  CHECK(other.refusal.fix == "allow it with --allow-domain https://example.com/b");
  // What rules cannot judge is refused under them, so it is observed as well, and sent as it came.
  const auto unclear = ask(*engine, "example.com:443", "GET", "/a%2fb");
  CHECK(unclear.because.reason == Reason::observed);
  CHECK(unclear.path == "/a%2fb");
  const auto plain = ask(*engine, "example.com:443", "GET", "/a");
  CHECK(plain.because.reason == Reason::rule_allows);
  CHECK(plain.refusal.detail.empty());

  const auto denying = engine_with(
      {.allow = {"example.com"}, .deny = {"https://example.com/admin/**"}, .observe = true});
  const auto denied = ask(*denying, "example.com:443", "GET", "/admin/x");
  CHECK(denied.because.reason == Reason::observed);
  CHECK(denied.because.rule == "https://example.com/admin/**");
}

TEST_CASE("observing never lets a key do what its credential's rules do not allow") {
  const std::vector<EndpointRule> reading{EndpointRule{"GET", "/v1/**", {}}};
  const auto engine = engine_with({.allow = {"api.example"},
                                   .deny = {"https://api.example/v1/admin/**"},
                                   .observe = true,
                                   .routes = {route("svc", "api.example", reading)}});
  CHECK(ask(*engine, "api.example:443", "GET", "/v1/items").allowed);
  const auto writing = ask(*engine, "api.example:443", "DELETE", "/v1/items");
  CHECK_FALSE(writing.allowed);
  CHECK(writing.refusal.because.reason == Reason::endpoint_denied);
  CHECK_FALSE(ask(*engine, "api.example:443", "GET", "/v1/a%2f..%2f..%2fadmin").allowed);
  CHECK_FALSE(ask(*engine, "api.example:443", "GET", "/v1/admin/keys").allowed);
}

TEST_CASE("a very long path is cut in the refusal and the remedy still covers it") {
  const auto engine = engine_with({.allow = {"https://example.com/a"}});
  const std::string path = "/b/" + std::string(90, 'x') + "/" + std::string(50000, 'y');
  const auto refused = ask(*engine, "example.com:443", "GET", path);
  CHECK(refused.refusal.detail.size() < 300);
  const std::string flag = "--allow-domain ";
  const std::string rule = refused.refusal.fix.substr(refused.refusal.fix.find(flag) + flag.size());
  CHECK(ask(*engine_with({.allow = {rule}}), "example.com:443", "GET", path).allowed);
}
