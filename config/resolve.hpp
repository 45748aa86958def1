#pragma once
// From what the user wrote to what it means: groups, host sets, variables and credential names are
// expanded, paths made canonical, and everything that contradicts something else is an error.

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/profile.hpp"

namespace nono {

struct ResolvedCommand;

// Puts `over` on top of `base`: scalars of `over` win, lists append without duplicates, maps win
// key by key, switches are or-ed.
void merge(Settings& base, Settings over);

struct ResolveOptions {
  bool allow_cwd = false;  // grant user.cwd as workdir.access says
  bool for_run = true;     // false: a proxy on its own, no files and no environment
  const ResolvedCommand* command = nullptr;  // its runtime's tree is granted; borrowed for the call
};

// True where the settings let the command of a run reach the network by rules alone, unless it is
// blocked altogether. Seen without looking anything up.
bool filter_network(const Settings& settings, bool for_run = true);

// All errors are bad_input and name the flag or the place in the file. Reads the file system (to
// make paths canonical), asks package managers where a rule names them, writes nothing.
Result<SessionConfig> resolve(const Settings& settings, const UserContext& user,
                              const ResolveOptions& options);

}  // namespace nono
