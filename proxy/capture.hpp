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

struct InnerPort;

// What a listener's clients are, other than clients of a proxy; nothing of it where they are.
struct Entrance {
  // They know of no proxy: where each wanted to go.
  std::shared_ptr<OriginalDestination> captured = nullptr;
  // They want to reach this server of the sandboxed program.
  std::shared_ptr<const InnerPort> inward = nullptr;

  bool any() const { return captured != nullptr || inward != nullptr; }
};

// Of a network namespace in which every address is local: the accepted socket's own address.
std::shared_ptr<OriginalDestination> own_address_as_destination();

}  // namespace nono
