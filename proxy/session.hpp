#pragma once
// A session: one user of the proxy, with a policy, credentials and limits of their own.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proxy/http/head.hpp"
#include "proxy/intercept/phantoms.hpp"
#include "proxy/intercept/redact.hpp"
#include "proxy/policy/engine.hpp"
#include "proxy/rate_limit.hpp"
#include "proxy/session_setup.hpp"

namespace nono {

// What a session has used so far. Any thread.
struct SessionUse {
  std::atomic<std::size_t> connections{0};  // open now
  std::atomic<std::uint64_t> requests{0};   // decisions, yes or no
  std::atomic<std::uint64_t> bytes_to_upstream{0}, bytes_to_client{0};
};

// Where a session's events are counted: its slot and those of its credentials among the labels
// (proxy/metrics), and what all redactors share.
struct SessionMeters {
  std::size_t slot = 0;
  std::vector<std::size_t> credentials;
  std::atomic<std::uint64_t>* redactions = nullptr;  // outlives the session
};

// Never changes once made, but for what is atomic; shared by all threads. A connection holds the
// session that it began with, so a reload or revocation never changes a rule under it.
class Session {
 public:
  // Compiles the policy. Errors: bad_input with everything that is wrong in it, or with what cannot
  // be used of its upstream_ca files or DNS servers.
  static Result<std::shared_ptr<Session>> make(SessionSetup setup);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::string& name() const { return config_.name; }
  // Unlike the name never used twice: what must not be shared between two policies is kept by it.
  const std::string& identity() const { return identity_; }
  const SessionConfig& config() const { return config_; }
  const std::vector<LoadedCredential>& credentials() const { return credentials_; }
  // The files of its further roots, each as it was when the session was made: what is built of them
  // serves all sessions that name the same ones, until a file changes.
  const std::vector<std::string>& upstream_roots() const { return upstream_roots_; }
  // One per credential; null without a secret.
  const intercept::Redactor* redactor(std::size_t index) const { return redactors_[index].get(); }
  const intercept::PhantomScanner& phantoms() const { return *phantoms_; }
  const Secret& token() const { return token_; }
  const policy::Engine& engine() const { return *engine_; }
  const Limits& limits() const { return limits_; }
  const http::HeadLimits& head_limits() const { return head_limits_; }
  SessionOrigin origin() const { return origin_; }
  // Where its own listeners are, in words.
  const std::vector<std::string>& places() const { return places_; }
  std::chrono::system_clock::time_point created() const { return created_; }
  // When it ends by itself; none: never.
  std::optional<std::chrono::steady_clock::time_point> expires() const { return expires_; }

  // Once, before any connection has it.
  void count_in(SessionMeters meters);
  const SessionMeters& meters() const { return meters_; }
  // Its use goes on where that of the session ends which it replaces: whose connections may go on
  // too. Before any connection has it.
  void continue_from(const Session& predecessor) { use_ = predecessor.use_; }
  SessionUse& use() { return *use_; }
  const SessionUse& use() const { return *use_; }
  RateLimit& connects() { return connects_; }

 private:
  explicit Session(SessionSetup setup);

  SessionConfig config_;
  std::string identity_;
  std::vector<std::string> upstream_roots_;
  std::vector<LoadedCredential> credentials_;
  std::vector<std::unique_ptr<intercept::Redactor>> redactors_;
  std::unique_ptr<intercept::PhantomScanner> phantoms_;
  Secret token_;
  std::shared_ptr<const policy::Engine> engine_;
  Limits limits_;
  http::HeadLimits head_limits_;
  SessionOrigin origin_;
  std::vector<std::string> places_;
  std::chrono::system_clock::time_point created_;
  std::optional<std::chrono::steady_clock::time_point> expires_;
  SessionMeters meters_;
  std::shared_ptr<SessionUse> use_ = std::make_shared<SessionUse>();
  RateLimit connects_;
};

using SessionPtr = std::shared_ptr<Session>;

http::HeadLimits head_limits_of(const Limits& limits);

}  // namespace nono
