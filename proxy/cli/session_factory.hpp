#pragma once
// From a planned session to one that can be put into force: keys read, listeners open.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "proxy/cli/credentials.hpp"
#include "proxy/cli/proxy_plan.hpp"
#include "proxy/reload.hpp"

namespace nono::cli {

// Where a session listens, for those who come after it.
struct OpenListener {
  std::string asked, place;
};
using OpenListeners = std::map<std::string, std::vector<OpenListener>>;  // by session

struct MadeSession {
  SessionSetup setup;
  std::vector<std::string> warnings;
};

// Reads the session's keys and opens its listeners, except those that `open` says it has already:
// they go on. Blocks.
Result<MadeSession> make_session(PlannedSession planned, keystore::Keystore& keyring,
                                 const EnvLookup& env, bool several_threads,
                                 const OpenListeners& open);

// The same without reading: the keys are given.
Result<SessionSetup> set_up(PlannedSession planned, std::vector<LoadedCredential> credentials,
                            bool several_threads, const OpenListeners& open);

// What `setups` will have open, for the next reload.
void note_listeners(const SessionSetup& setup, OpenListeners& open);

}  // namespace nono::cli
