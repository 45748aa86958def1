// nono session: create, list, revoke.

#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"

namespace nono::cli {

int session_command(const SessionOptions&, const UserContext&) {
  return complain("nono session is not there yet");
}

}  // namespace nono::cli
