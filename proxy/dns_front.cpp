#include "proxy/dns_front.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "dns/message.hpp"
#include "dns/vetted_answers.hpp"
#include "proxy/worker.hpp"

namespace nono {
namespace {

dns::StubOptions stub_options(Gateway& gateway, const DnsSettings& settings) {
  dns::StubOptions options;
  options.counters = gateway.dns_stubs.emplace_back(std::make_shared<dns::StubCounters>());
  if (settings.cache_entries_max) options.names_max = *settings.cache_entries_max;
  if (settings.queries_per_second_max) {
    const unsigned rate = *settings.queries_per_second_max;
    options.queries = {rate, rate};     // a second's worth may come at once
    options.lookups = options.queries;  // and all of it may be names that nobody knows yet
    options.lookups_of_all.per_second = std::max(options.lookups_of_all.per_second, rate);
    options.lookups_of_all.burst = std::max(options.lookups_of_all.burst, rate);
  }
  return options;
}

dns::SourceAnswer unrecorded(Error error) {
  dns::SourceAnswer answer;
  answer.refusal.because.reason = Reason::internal;
  answer.refusal.detail = std::move(error.what);
  answer.refusal.fix = std::move(error.fix);
  return answer;
}

audit::Record decision_record(const Session* session, std::string host, bool allowed) {
  audit::Record record;
  record.time = std::chrono::system_clock::now();
  record.way = audit::Way::dns;
  record.allowed = allowed;
  record.host = std::move(host);
  if (session != nullptr) record.session = session->name();
  return record;
}

// Apart from the front, which may be gone before this begins: all that it needs comes along. Where
// there is a `record`, no query leaves before that is on disk.
Awaitable<dns::SourceAnswer> ask(audit::Log& log, std::optional<audit::Record> record,
                                 std::shared_ptr<dns::VettedAnswers> source, Permit permit,
                                 std::chrono::steady_clock::time_point deadline) {
  if (!source) co_return dns::SourceAnswer{};
  if (record) {
    Result<void> committed = co_await log.commit(std::move(*record));
    if (!committed) co_return unrecorded(std::move(committed.error()));
  }
  dns::SourceAnswer answer = co_await source->look_up(std::move(permit), deadline);
  co_return answer;
}

}  // namespace

DnsFront::DnsFront(Worker& worker, const DnsSettings& settings)
    : worker_(worker),
      stub_(std::make_unique<dns::StubServer>(
          worker.executor(), *this, *this, stub_options(worker.gateway(), settings),
          [this](const dns::StubDecision& decision) { record(decision); })) {
  if (worker.made_up_names() != nullptr) made_up_.emplace(*worker.made_up_names());
}

DnsFront::~DnsFront() = default;

Result<void> DnsFront::serve(DnsSockets sockets) {
  if (sockets.udp) {
    if (Result<void> udp = stub_->serve_udp(std::move(sockets.udp)); !udp) return udp;
  }
  return stub_->serve_tcp(std::move(sockets.tcp), std::move(sockets.admits));
}

void DnsFront::policy_changed() {
  session_ = worker_.settings().main;
  stub_->forget_names();
}

void DnsFront::dismissed(const Session& session) {
  if (session_.get() != &session) return;
  session_.reset();
  stub_->forget_names();
}

Decision DnsFront::judge(const HostName& name) {
  if (session_) return session_->engine().decide_name(name);
  Refusal refusal;
  refusal.because.reason = Reason::no_rule;
  refusal.detail = name.text() +
                   " is asked for by nobody: DNS has no token, and there is no main "
                   "session whose rules would hold";
  refusal.fix = "give rules at the top level of nono.yaml, or as flags";
  return refusal;
}

std::optional<dns::SourceAnswer> DnsFront::at_once(const Permit& permit, TimePoint now) {
  return made_up_ ? made_up_->at_once(permit, now) : std::nullopt;
}

std::optional<HostName> DnsFront::name_of(const IpAddress& address) {
  return made_up_ ? made_up_->name_of(address) : std::nullopt;
}

Awaitable<dns::SourceAnswer> DnsFront::look_up(Permit permit, TimePoint deadline) {
  // Made for each look-up: the main session may have other servers by now.
  std::shared_ptr<dns::VettedAnswers> source;
  if (session_) {
    Result<dns::Resolver*> resolver = worker_.resolver(*session_);
    if (resolver) source = std::make_shared<dns::VettedAnswers>(**resolver);
  }
  audit::Log& log = *worker_.gateway().log;
  std::optional<audit::Record> record;
  if (log.required()) {
    record = decision_record(session_.get(), permit.target().host.to_string(), true);
    record->because = permit.because();
  }
  return ask(log, std::move(record), std::move(source), std::move(permit), deadline);
}

void DnsFront::record(const dns::StubDecision& decision) {
  audit::Log& log = *worker_.gateway().log;
  // What a required log has of a look-up, it has already.
  if (decision.allowed && decision.times == 1 && log.required() && !made_up_) return;
  audit::Record record = decision_record(session_.get(), decision.name, decision.allowed);
  record.because = decision.because;
  if (!decision.name.empty()) {
    record.method = dns::type_name(decision.type);
    record.detail = fmt::format("asked by {}", decision.client.to_string());
  }
  if (decision.times > 1) {
    record.detail +=
        fmt::format("{}{} times more", record.detail.empty() ? "" : ", ", decision.times);
  }
  if (!decision.detail.empty()) {
    record.detail += (record.detail.empty() ? "" : ": ") + decision.detail;
  }
  const std::size_t slot = session_ ? session_->meters().slot : 0;
  worker_.metrics().decided(record.way, record.because.reason, record.allowed, slot);
  // Whoever captures is asked what was refused, and a program whose name does not exist goes no
  // further.
  if (made_up_ && !record.allowed && !record.host.empty()) {
    worker_.gateway().refusals.add(record);
  }
  log.write(record);
}

}  // namespace nono
