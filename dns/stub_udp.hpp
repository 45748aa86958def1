#pragma once
// The stub server's UDP side: datagrams in batches, one system call to read many and one to answer.

#include <memory>

#include "config/base/fd.hpp"
#include "dns/stub_core.hpp"

namespace nono::dns {

// Used on the executor's thread. Late answers find it through a weak_ptr, or nobody.
class StubUdp : public std::enable_shared_from_this<StubUdp> {
 public:
  // `socket` is bound. Errors: io.
  static Result<std::shared_ptr<StubUdp>> make(Executor executor, std::shared_ptr<StubCore> core,
                                               UniqueFd socket);
  ~StubUdp();
  StubUdp(const StubUdp&) = delete;
  StubUdp& operator=(const StubUdp&) = delete;

  void start();
  void close();

 private:
  struct Batch;
  class Datagram;

  StubUdp(Executor executor, std::shared_ptr<StubCore> core);
  void wait();
  void wait_after_error();
  void serve();
  enum class Round : std::uint8_t { more, drained, failed };
  Round serve_batch();

  StreamDescriptor socket_;
  SteadyTimer pause_;
  std::shared_ptr<StubCore> core_;
  std::unique_ptr<Batch> batch_;
  bool any_address_ = false;  // bound to all: each reply says where it comes from
};

}  // namespace nono::dns
