#pragma once
// Where the proxy of one sandbox can be reached from inside it. All that the sandbox knows of it.

#include <optional>
#include <string>

#include "config/base/host.hpp"

namespace nono {

struct ProxyEndpoints {
  Port http{3128};                // on 127.0.0.1 of the sandbox's own network namespace
};

}  // namespace nono
