// nono audit: verify, hosts.

#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"

namespace nono::cli {

int audit_command(const AuditOptions&, const UserContext&) {
  return complain("nono audit is not there yet");
}

}  // namespace nono::cli
