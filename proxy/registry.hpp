#pragma once
// The sessions alive, and what they listen on, across all threads: the control side of sessions.
// Threads learn of each change by a post and share nothing.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/reload.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace nono {

// Used from any thread. The workers must outlive it.
class SessionRegistry {
 public:
  // Before the workers run.
  explicit SessionRegistry(std::vector<std::unique_ptr<Worker>>& workers);

  // The first configuration, or one that was read again: all of it or, with an error, nothing.
  Result<void> apply(Reload reload);
  // Errors: bad_input where the name is taken or the setup is wrong.
  Result<SessionPtr> add(SessionSetup setup);
  // Closes the session's connections and listeners at once, and removes the files of Unix sockets;
  // so does its time when it is over. Error: bad_input, no such session.
  Result<void> revoke(const std::string& name);
  std::vector<SessionPtr> all() const;

 private:
  // One socket per worker.
  struct Listener {
    std::string asked;
    std::vector<UniqueFd> sockets;
  };
  // A session that is not in force yet.
  struct Candidate {
    SessionPtr session;
    std::vector<Listener> listeners;
    std::vector<std::string> kept;  // listeners of its predecessor that go on
  };

  Result<Candidate> make(SessionSetup setup);
  void enter(Candidate candidate, const SessionPtr& predecessor);
  void dismiss(const SessionPtr& session, bool cut);
  void remove_socket_files(const Session& ended) const;
  void post(const std::function<void(Worker&)>& change);
  void revoke_expired();

  std::vector<std::unique_ptr<Worker>>& workers_;
  SteadyTimer expiry_;  // of the first worker, on its thread
  mutable std::mutex mutex_;
  std::map<std::string, SessionPtr> sessions_;
};

}  // namespace nono
