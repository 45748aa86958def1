#pragma once
// Connections in the other direction: from this machine to servers of the sandboxed program.

#include <chrono>
#include <deque>
#include <memory>

#include "config/base/fd.hpp"
#include "config/base/host.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/tcp_stream.hpp"

namespace nono {

// Where sockets of the sandbox's network come from; each that was asked for is given, or said not
// to come, in the order of asking. Used on one thread.
class InnerSockets {
 public:
  virtual ~InnerSockets() = default;
  // A TCP socket that is not connected; false: not to be had.
  virtual bool ask(bool v6) = 0;
  struct Taken {
    enum class State : std::uint8_t { none_yet, one, none, over };
    State state = State::none_yet;
    UniqueFd socket;
  };
  virtual Taken take() = 0;
  virtual int fd() const = 0;  // readable when take() has something to say
};

// Awaits them, for any number of connections at once.
class InnerSocketQueue : public std::enable_shared_from_this<InnerSocketQueue> {
 public:
  InnerSocketQueue(Executor executor, std::shared_ptr<InnerSockets> sockets);
  // Not valid where there is none in time. The queue must outlive the await.
  Awaitable<UniqueFd> get(bool v6, std::chrono::milliseconds time_max);

 private:
  class Place;
  void watch();
  void hand_out();

  Executor executor_;
  std::shared_ptr<InnerSockets> sockets_;
  StreamDescriptor descriptor_;
  std::deque<Place*> places_;  // in the order of asking; null: waits no more
  bool watching_ = false;
};

// One port of the sandboxed program's loopback.
struct InnerPort {
  std::shared_ptr<InnerSocketQueue> sockets;
  Port port;
};

// Connects to the program's server on 127.0.0.1, or on ::1 where nothing listens there. Errors:
// connect_failed, connect_timeout. All arguments must outlive the await.
Awaitable<Result<std::unique_ptr<TcpStream>>> connect_inside(const InnerPort& port,
                                                             Deadlines& deadlines,
                                                             std::chrono::milliseconds time_max);

}  // namespace nono
