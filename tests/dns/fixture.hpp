#pragma once
// What the DNS tests share: permits from a real engine, and a resolver that asks a fake server.

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "dns/ares_resolver.hpp"
#include "proxy/policy/engine.hpp"
#include "tests/support/fake_dns.hpp"

namespace nono::test {

using namespace std::chrono_literals;

inline IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

// "a, b" of a list of addresses.
inline std::string text_of(const std::vector<IpAddress>& addresses) {
  std::string text;
  for (const IpAddress& address : addresses) {
    text += (text.empty() ? "" : ", ") + address.to_string();
  }
  return text;
}

// The permit that a rule for exactly this host (a name or an address) gives for its port 443.
inline Permit permit_for(const std::string& host,
                         const std::vector<std::string>& allow_private = {}) {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  HostRule rule;
  rule.text = host;
  rules.allow.push_back(rule);
  for (const std::string& range : allow_private) {
    rules.allow_private.push_back(Cidr::parse(range).value());
  }
  auto engine = policy::Engine::make(rules, {});
  INFO(host);
  REQUIRE(engine);
  Decision decision = (*engine)->decide(HostPort{parse_host(host).value(), https_port});
  REQUIRE(std::holds_alternative<Permit>(decision));
  return std::get<Permit>(decision);
}

// A resolver on its own io_context that asks `server`. Options may be changed before the first
// resolve.
class ResolverFixture {
 public:
  using Addresses = Result<std::vector<IpAddress>>;

  FakeDns server;
  nono::dns::ResolverOptions options;
  net::io_context context{1};
  std::unique_ptr<nono::dns::Resolver> resolver;

  ResolverFixture() {
    options.servers = {server.endpoint()};
    options.hosts_file = "";
    options.query_timeout = 300ms;
  }

  Addresses resolve(const Permit& permit, std::chrono::milliseconds patience = 20s) {
    Waiting waiting(*this, permit, patience);
    return waiting.finish();
  }
  Addresses resolve(const std::string& name, const std::vector<std::string>& allow_private = {}) {
    Permit permit = permit_for(name, allow_private);
    return resolve(permit);
  }
  // The addresses, or the text of the error: for comparisons.
  std::string answer(const std::string& name, const std::vector<std::string>& allow_private = {}) {
    Addresses addresses = resolve(name, allow_private);
    return addresses ? text_of(*addresses) : addresses.error().what;
  }

  void make() {
    if (!resolver) resolver = nono::dns::make_resolver(context.get_executor(), options).value();
  }

  // One resolve() under way. Lives longer than its coroutine, or than the context's last run.
  class Waiting {
   public:
    Waiting(ResolverFixture& fixture, Permit permit, std::chrono::milliseconds patience,
            nono::dns::Asker asker = nono::dns::Asker::proxy)
        : context_(fixture.context), permit_(std::move(permit)) {
      fixture.make();
      auto deadline = std::chrono::steady_clock::now() + patience;
      net::co_spawn(context_.get_executor(), run(*fixture.resolver, permit_, deadline, asker),
                    [this](std::exception_ptr error, Addresses addresses) {
                      if (error) std::rethrow_exception(error);
                      result_ = std::move(addresses);
                    });
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

    bool done() const { return result_.has_value(); }
    Addresses finish() {
      context_.restart();
      while (!result_ && context_.run_one_for(30s) != 0) {
      }
      // Not REQUIRE: several threads may be in here, which Catch2 does not know.
      if (!result_) throw std::runtime_error("the resolver did not answer");
      return *result_;
    }

   private:
    static Awaitable<Addresses> run(nono::dns::Resolver& resolver, const Permit& permit,
                                    std::chrono::steady_clock::time_point deadline,
                                    nono::dns::Asker asker) {
      Result<nono::dns::VettedAddresses> vetted =
          co_await resolver.resolve(permit, deadline, asker);
      if (!vetted) co_return tl::unexpected<Error>(vetted.error());
      co_return vetted->addresses();
    }

    net::io_context& context_;
    Permit permit_;
    std::optional<Addresses> result_;
  };
};

}  // namespace nono::test
