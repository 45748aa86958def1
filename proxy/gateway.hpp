#pragma once
// What all threads and connections of one server share: values that never change while it runs, and
// the few things that are safe to use from any thread.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/audit/log.hpp"
#include "proxy/http/head.hpp"
#include "proxy/intercept/phantoms.hpp"
#include "proxy/intercept/redact.hpp"
#include "proxy/policy/engine.hpp"
#include "proxy/server.hpp"

namespace nono {

// Refusals so far, each host and reason once, bounded: the footer after a run prints them.
class RefusalList {
 public:
  void add(const audit::Record& record);
  std::vector<audit::Record> take_copy() const;

 private:
  static constexpr std::size_t refusals_max = 200;
  mutable std::mutex mutex_;
  std::vector<audit::Record> records_;
};

struct Gateway {
  SessionConfig session;
  std::vector<LoadedCredential> credentials;
  std::vector<std::unique_ptr<intercept::Redactor>>
      redactors;  // one per credential; null without a secret
  Secret token;
  std::shared_ptr<intercept::CertificateAuthority> ca;
  bool no_auth = false;
  Limits limits;
  http::HeadLimits head_limits;
  std::string server_name;
  std::shared_ptr<const policy::Engine> engine;
  std::unique_ptr<intercept::PhantomScanner> phantoms;
  std::unique_ptr<audit::Log> log;
  RefusalList refusals;
  std::atomic<std::uint64_t> next_id{1};    // joins an end record to its decision
  std::atomic<std::size_t> connections{0};  // open client connections of all threads
};

}  // namespace nono
