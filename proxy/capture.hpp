#pragma once
// Connections of programs that know of no proxy: where they wanted to go.

#include <memory>
#include <optional>

#include "config/base/host.hpp"

namespace nono {

class OriginalDestination {
 public:
  virtual ~OriginalDestination() = default;
  // Where the client of this accepted connection wanted to go: an address and a port. Asked once
  // for each, on the thread that accepted it. None: nobody knows, and the connection is broken off.
  virtual std::optional<HostPort> of(int accepted) = 0;
};

// Of a network namespace in which every address is local: the accepted socket's own address.
std::shared_ptr<OriginalDestination> own_address_as_destination();

}  // namespace nono
