#pragma once
// Makes the connections that the command asks for, in its place: decides on a copy of the address,
// acts on a duplicate of the socket, and never lets the command's own call go on.

#include <poll.h>

#include <optional>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/notify/loopback_socket.hpp"
#include "sandbox/linux/notify/route.hpp"
#include "sandbox/linux/notify/trapped_call.hpp"
#include "sandbox/registered_ports.hpp"

namespace nono::sandbox {

class Connector {
 public:
  Connector(const RouteTable& routes, RegisteredPorts& ports) : routes_(routes), ports_(ports) {}

  // Answers the call, now or later: a connection that is not made at once is polled for, so that no
  // call waits for another's.
  void connect(const TrappedCall& call);

  // Those that wait: add_polls() appends as many entries as serve() then looks at.
  void add_polls(std::vector<pollfd>& polls) const;
  void serve(std::span<const pollfd> polls);

 private:
  struct Waiting {
    TrappedCall call;
    UniqueFd socket;
    std::optional<Source> source;
    bool ours = false;  // a socket made here, to be put in place of the command's
    bool close_on_exec = false;
  };
  UniqueFd take_socket(const TrappedCall& call, const Route& route, Waiting& waiting, int& error);
  void start(Waiting waiting, const Route& route);
  void finish(Waiting& waiting, int error);

  RouteTable routes_;
  RegisteredPorts& ports_;
  LoopbackSources sources_;
  std::vector<Waiting> waiting_;
};

}  // namespace nono::sandbox
