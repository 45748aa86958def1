#pragma once
// The DNS stub server (dns/stub_server.hpp) as one thread of the proxy has it: judged by the main
// session's policy, recorded in the audit log.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "config/base/fd.hpp"
#include "dns/answer_source.hpp"
#include "dns/stub_server.hpp"
#include "dns/synthetic_answers.hpp"
#include "proxy/dns_listen.hpp"
#include "proxy/session.hpp"

namespace nono {

class Worker;

// Used on the worker's thread; gone before the worker's resolvers. A DNS query carries no token, so
// all are the main session's: a session with rules of its own is not to be had here.
class DnsFront final : public dns::NameJudge, public dns::AnswerSource {
 public:
  DnsFront(Worker& worker, const DnsSettings& settings);
  ~DnsFront() override;

  // Error: io.
  Result<void> serve(DnsSockets sockets);
  // Another main session, or none: every name is judged anew.
  void policy_changed();
  // That session is over; if it is the main one, nothing is answered until there is another.
  void dismissed(const Session& session);
  const dns::StubCounters& counters() const { return stub_->counters(); }

 private:
  Decision judge(const HostName& name) override;
  std::optional<dns::SourceAnswer> at_once(const Permit& permit, TimePoint now) override;
  Awaitable<dns::SourceAnswer> look_up(Permit permit, TimePoint deadline) override;
  std::optional<HostName> name_of(const IpAddress& address) override;
  void record(const dns::StubDecision& decision);

  Worker& worker_;
  // Where connections are captured: then nobody is asked for any name.
  std::optional<dns::SyntheticAnswers> made_up_;
  SessionPtr session_;  // whose policy judges; null: nobody's, and all is refused
  std::unique_ptr<dns::StubServer> stub_;
};

}  // namespace nono
