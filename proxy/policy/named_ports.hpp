#pragma once
// The ports that rules speak of: what has to be listened on where connections are captured port by
// port.

#include <vector>

#include "config/config.hpp"

namespace nono::policy {

struct NamedPorts {
  std::vector<Port> ports;  // in order, each once; of rules that allow, and of credentials
  bool every_port = false;  // some rule is for all ports
};

// Rules that cannot be read are passed over: making the engine complains about them.
NamedPorts named_ports(const NetworkRules& rules, const std::vector<CredentialRoute>& routes);

}  // namespace nono::policy
