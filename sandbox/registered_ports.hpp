#pragma once
// What the supervisor of the notify backend tells the proxy about the connections that it makes on
// the command's behalf: which source port stands for which original destination.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "config/base/address.hpp"
#include "config/base/error.hpp"

namespace nono::sandbox {

// Where the command wanted to connect to.
struct Destination {
  IpAddress address;
  std::uint16_t port = 0;
  friend bool operator==(const Destination&, const Destination&) = default;
};

// A connection's own end, on the host's loopback: both in host byte order.
struct Source {
  // Differs between an address and the one that is used after it.
  static constexpr std::uint32_t turn_bit = 2;

  std::uint32_t address = 0x7f000001;
  std::uint16_t port = 0;
};

// One place for each port of an address and of the one used after it, in memory that processes
// forked after make() share. The supervisor writes an entry before it connects from that port;
// whoever accepts the connection takes it. A connection whose port was not registered is a
// stranger's. Bounded by the number of ports, and entries that nobody took expire. Any thread, any
// of those processes; nothing blocks.
class RegisteredPorts {
 public:
  static constexpr std::chrono::seconds usual_time{30};
  // An entry older than `expires_after` counts for nothing.
  static Result<std::shared_ptr<RegisteredPorts>> make(
      std::chrono::seconds expires_after = usual_time);
  ~RegisteredPorts();
  RegisteredPorts(const RegisteredPorts&) = delete;
  RegisteredPorts& operator=(const RegisteredPorts&) = delete;

  // Replaces what was registered for that port.
  void add(const Source& source, const Destination& destination);
  void remove(const Source& source);
  // The entry, which is gone afterwards; empty where there is none or it has expired.
  std::optional<Destination> take(const Source& source);
  // The same for an accepted socket, by its peer's address.
  std::optional<Destination> take_for(int accepted_socket);

  // Processes forked from now on by the calling one do not have it.
  void withhold_from_children();

 private:
  struct Entry;
  RegisteredPorts(Entry* entries, std::chrono::seconds expires_after)
      : entries_(entries), expires_after_(expires_after) {}
  Entry* entries_;
  std::chrono::seconds expires_after_;
};

}  // namespace nono::sandbox
