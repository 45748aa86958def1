#include "config/registries.hpp"

namespace nono {

Result<std::vector<std::string>> registry_hosts(const Settings&, const UserContext&,
                                                const ResolveOptions&) {
  return fail(ErrorCode::bad_input, "the host group package_registries is not supported yet",
              "use --network-profile minimal and allow the registry's hosts with --allow-domain");
}

}  // namespace nono
