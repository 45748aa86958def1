#include "dns/stub_server.hpp"

#include <vector>

#include "dns/stub_core.hpp"
#include "dns/stub_tcp.hpp"
#include "dns/stub_udp.hpp"

namespace nono::dns {
namespace {

constexpr std::chrono::seconds sweep_interval{5};

}  // namespace

struct StubServer::Parts : std::enable_shared_from_this<StubServer::Parts> {
  explicit Parts(Executor its_executor) : executor(its_executor), sweeper(its_executor) {}

  // While decisions are being counted, somebody must tell of them; otherwise nothing wakes up.
  void keep_sweeping() {
    if (sweeping) return;
    sweeping = true;
    sweeper.expires_after(sweep_interval);
    sweeper.async_wait([weak = weak_from_this()](ErrorCodeSys error) {
      const std::shared_ptr<Parts> self = weak.lock();
      if (!self || error) return;
      self->core->sweep(std::chrono::steady_clock::now());
      self->sweeping = false;
      if (self->core->needs_sweep()) self->keep_sweeping();
    });
  }

  Executor executor;
  SteadyTimer sweeper;
  bool sweeping = false;
  std::shared_ptr<StubCore> core;
  std::vector<std::shared_ptr<StubUdp>> udp;
  std::vector<std::shared_ptr<StubTcp>> tcp;
};

StubServer::StubServer(Executor executor, NameJudge& judge, AnswerSource& source,
                       const StubOptions& options, OnDecision on_decision)
    : parts_(std::make_shared<Parts>(executor)) {
  OnDecision tell;
  if (on_decision) {
    tell = [weak = std::weak_ptr<Parts>(parts_),
            on_decision = std::move(on_decision)](const StubDecision& decision) {
      on_decision(decision);
      if (const std::shared_ptr<Parts> parts = weak.lock()) parts->keep_sweeping();
    };
  }
  parts_->core = std::make_shared<StubCore>(executor, judge, source, options, std::move(tell));
}

StubServer::~StubServer() {
  for (const std::shared_ptr<StubUdp>& udp : parts_->udp) udp->close();
  for (const std::shared_ptr<StubTcp>& tcp : parts_->tcp) tcp->close();
  parts_->core->close();
  parts_->sweeper.cancel();
}

Result<void> StubServer::serve_udp(UniqueFd socket) {
  Result<std::shared_ptr<StubUdp>> udp =
      StubUdp::make(parts_->executor, parts_->core, std::move(socket));
  if (!udp) return fail(udp.error());
  (*udp)->start();
  parts_->udp.push_back(std::move(*udp));
  return {};
}

Result<void> StubServer::serve_tcp(UniqueFd listener, std::function<bool(int)> admits) {
  Result<std::shared_ptr<StubTcp>> tcp =
      StubTcp::make(parts_->executor, parts_->core, std::move(listener), std::move(admits));
  if (!tcp) return fail(tcp.error());
  (*tcp)->start();
  parts_->tcp.push_back(std::move(*tcp));
  return {};
}

void StubServer::forget_names() {
  parts_->core->forget_names();
}

const StubCounters& StubServer::counters() const {
  return parts_->core->counters();
}

std::size_t StubServer::names_known() const {
  return parts_->core->names_known();
}

std::size_t StubServer::lookups_waiting() const {
  return parts_->core->lookups_waiting();
}

}  // namespace nono::dns
