#pragma once
// The stub server's TCP side (RFC 7766): queries with a length before each, several at once on one
// connection, answered as soon as each is known.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "dns/stub_core.hpp"

namespace nono::dns {

// Used on the executor's thread.
class StubTcp : public std::enable_shared_from_this<StubTcp> {
 public:
  // `listener` listens. `admits` is asked for each accepted socket; without it all are served.
  // Errors: io.
  static Result<std::shared_ptr<StubTcp>> make(Executor executor, std::shared_ptr<StubCore> core,
                                               UniqueFd listener,
                                               std::function<bool(int)> admits = {});
  ~StubTcp();
  StubTcp(const StubTcp&) = delete;
  StubTcp& operator=(const StubTcp&) = delete;

  void start();
  void close();

 private:
  class Connection;
  using Connections = std::list<std::shared_ptr<Connection>>;

  StubTcp(Executor executor, std::shared_ptr<StubCore> core);
  void accept();
  void take(TcpSocket socket);
  void make_room();
  void watch_idle();
  void drop(const Connection& connection);

  Executor executor_;
  TcpAcceptor acceptor_;
  SteadyTimer pause_, idle_timer_;
  bool watching_idle_ = false;
  std::shared_ptr<StubCore> core_;
  std::function<bool(int)> admits_;
  Connections connections_;
};

}  // namespace nono::dns
