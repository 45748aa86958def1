#include "dns/stub_core.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <exception>

namespace nono::dns {
namespace {

using Status = SourceAnswer::Status;

// A failure is remembered for a moment, so that impatient clients do not ask on and on.
constexpr std::chrono::seconds failure_ttl{1};
constexpr std::uint32_t local_ttl_seconds = 60;

bool is_localhost(std::string_view name) {
  return name == "localhost" || name.ends_with(".localhost");
}

IpAddress loopback(bool v4) {
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return v4 ? IpAddress::v4({127, 0, 0, 1}) : IpAddress::v6(one);
}

std::uint32_t seconds_left(std::chrono::steady_clock::time_point until,
                           std::chrono::steady_clock::time_point now) {
  if (until <= now) return 0;
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(until - now).count());
}

std::uint32_t whole_seconds(std::chrono::seconds time) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time.count(), 0, 86'400));
}

Refusal unreadable(std::string detail) {
  return Refusal{Because{Reason::bad_target, {}}, std::move(detail), {}};
}

}  // namespace

// A query whose answer is being looked up, with its own copy of the question.
struct StubCore::Waiting {
  Waiting(const Asked& asked, Reply its_reply)
      : question(asked.query.question.begin(), asked.query.question.end()),
        query(asked.query),
        client(asked.client),
        stream(asked.stream),
        reply(std::move(its_reply)) {
    query.question = question;
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  std::vector<std::uint8_t> question;
  Query query;
  IpAddress client;
  bool stream;
  Reply reply;
};

StubCore::StubCore(Executor executor, NameJudge& judge, AnswerSource& source,
                   const StubOptions& options, OnDecision on_decision)
    : executor_(executor),
      judge_(judge),
      source_(source),
      options_(options),
      limits_(options.queries, options.lookups, options.lookups_of_all, options.clients_max),
      decisions_(options.decisions, std::move(on_decision)),
      counters_(options.counters ? options.counters : std::make_shared<StubCounters>()),
      names_(options.names_max) {}

StubCore::~StubCore() = default;

std::size_t StubCore::handle(Bytes message, const Caller& caller, std::span<std::uint8_t> out,
                             TimePoint now) {
  counters_->queries.add();
  Query query;
  const ReadQuery read = read_query(message, query);
  if (read.reading == Reading::drop) {
    counters_->malformed.add();
    return 0;
  }
  const std::size_t limit = std::min(AnswerWriter::limit(query, caller.stream()), out.size());
  const Asked asked{query, caller.address(), caller.stream(), now, out.first(limit)};
  if (!limits_.admit_query(asked.client, now)) return refuse_over_limit(asked);
  if (read.reading == Reading::reject) {
    counters_->malformed.add();
    return write(asked, read.rcode);
  }
  if (query.name.root()) {
    counters_->type_refused.add();
    return write(asked, Rcode::refused);
  }
  if (query.type == type_ptr) {
    const std::size_t size = answer_reverse(asked);
    if (size != 0) return size;
  }
  Known* known = names_.find(query.name.key());
  if (known == nullptr) {
    known = &names_.add(query.name.key(), judge(query.name, now));
  } else if (known->judged_until <= now) {
    *known = judge(query.name, now);
  }
  if (known->local) return answer_local(asked);
  if (!known->permit) return deny(asked, known->refusal);
  return answer_permitted(asked, *known, caller);
}

void StubCore::forget_names() {
  ++generation_;
  names_.clear();
}

void StubCore::close() {
  decisions_.close();
  lookups_.clear();
  names_.clear();
}

void StubCore::sweep(TimePoint now) {
  decisions_.sweep(now);
}

StubCore::Known StubCore::judge(const WireName& name, TimePoint now) {
  Known known;
  known.judged_until = now + options_.judged_for;
  std::array<char, 256> buffer;
  const std::optional<std::string_view> text = name.text(buffer);
  if (!text) {
    known.refusal = unreadable(name.shown() + " is no host name");
    return known;
  }
  if (is_localhost(*text)) {
    known.local = true;
    return known;
  }
  Result<HostName> host = HostName::parse(*text);
  if (!host) {
    known.refusal = unreadable(std::move(host.error().what));
    return known;
  }
  Decision decision = judge_.judge(*host);
  if (auto* refusal = std::get_if<Refusal>(&decision)) known.refusal = std::move(*refusal);
  if (auto* permit = std::get_if<Permit>(&decision)) known.permit = std::move(*permit);
  return known;
}

void StubCore::note(const Asked& asked, bool allowed, const Because& because,
                    std::string_view detail, std::string_view fix) {
  const Query& query = asked.query;
  const auto make = [&] {
    return StubDecision{asked.client, query.name.shown(),  query.type,       allowed,
                        because,      std::string(detail), std::string(fix), 1};
  };
  decisions_.note(asked.client, query.name.key(), allowed, asked.now, make);
}

std::size_t StubCore::finish(AnswerWriter& writer) {
  const std::size_t size = writer.finish();
  if (writer.truncated()) counters_->truncated.add();
  return size;
}

std::size_t StubCore::write(const Asked& asked, Rcode rcode) {
  AnswerWriter writer(asked.out, asked.query, rcode);
  return finish(writer);
}

std::size_t StubCore::write_empty(const Asked& asked, Rcode rcode, std::uint32_t ttl_seconds) {
  AnswerWriter writer(asked.out, asked.query, rcode);
  writer.add_soa(ttl_seconds);
  return finish(writer);
}

std::size_t StubCore::write_refusal(const Asked& asked, Rcode rcode, const Refusal& refusal,
                                    ExtendedError error) {
  AnswerWriter writer(asked.out, asked.query, rcode);
  if (rcode == Rcode::no_such_name) writer.add_soa(whole_seconds(options_.negative_ttl));
  writer.explain(error, refusal.detail, refusal.fix);
  return finish(writer);
}

std::size_t StubCore::deny(const Asked& asked, const Refusal& refusal) {
  counters_->denied.add();
  note(asked, false, refusal.because, refusal.detail, refusal.fix);
  return write_refusal(asked, Rcode::no_such_name, refusal, ExtendedError::blocked);
}

std::size_t StubCore::refuse_over_limit(const Asked& asked) {
  counters_->limited.add();
  return write(asked, Rcode::refused);
}

std::size_t StubCore::answer_local(const Asked& asked) {
  counters_->cached.add();
  const std::uint16_t type = asked.query.type;
  if (type != type_a && type != type_aaaa) {
    return write_empty(asked, Rcode::no_error, local_ttl_seconds);
  }
  AnswerWriter writer(asked.out, asked.query, Rcode::no_error);
  writer.add_address(loopback(type == type_a), local_ttl_seconds);
  return finish(writer);
}

// 0 where the address is none of ours: then the name is judged like any other.
std::size_t StubCore::answer_reverse(const Asked& asked) {
  std::array<char, 256> buffer;
  const std::optional<std::string_view> text = asked.query.name.text(buffer);
  if (!text) return 0;
  const std::optional<IpAddress> address = reverse_address(*text);
  if (!address) return 0;
  std::optional<HostName> name = source_.name_of(*address);
  if (!name && classify(*address) == AddressClass::loopback) {
    if (Result<HostName> local = HostName::parse("localhost")) name = std::move(*local);
  }
  if (!name) return 0;
  counters_->cached.add();
  AnswerWriter writer(asked.out, asked.query, Rcode::no_error);
  writer.add_pointer(*name, 1);  // the name may be another's soon
  return finish(writer);
}

std::size_t StubCore::answer_permitted(const Asked& asked, Known& known, const Caller& caller) {
  const std::uint16_t type = asked.query.type;
  const Permit& permit = *known.permit;
  if (type == type_https || type == type_svcb) {
    counters_->cached.add();
    note(asked, true, permit.because(), {}, {});
    return write_empty(asked, Rcode::no_error, whole_seconds(options_.negative_ttl));
  }
  if (type != type_a && type != type_aaaa) {
    counters_->type_refused.add();
    Refusal refusal{permit.because(), {}, {}};
    if (asked.query.edns) refusal.detail = "only addresses are answered, no " + type_name(type);
    note(asked, false, refusal.because, "only addresses are answered", {});
    return write_refusal(asked, Rcode::refused, refusal, ExtendedError::prohibited);
  }
  if (known.answer && asked.now < known.answer_until) {
    counters_->cached.add();
    return answer_with(asked, *known.answer, known.answer_until, permit);
  }
  if (lookups_.find(lookup_key(asked.query)) == lookups_.end() &&
      !limits_.admit_lookup(asked.client, asked.now)) {
    return refuse_over_limit(asked);
  }
  counters_->missed.add();
  std::optional<SourceAnswer> at_once = source_.at_once(permit, asked.now);
  if (!at_once) return begin_lookup(asked, permit, caller);
  const TimePoint until = remember(known, std::move(*at_once), asked.now);
  return answer_with(asked, *known.answer, until, permit);
}

StubCore::TimePoint StubCore::remember(Known& known, SourceAnswer answer, TimePoint now) {
  const auto ttl = answer.status == Status::failed ? failure_ttl : answer.ttl;
  known.answer_until = now + ttl;
  known.answer = std::move(answer);
  return known.answer_until;
}

std::size_t StubCore::answer_with(const Asked& asked, const SourceAnswer& answer, TimePoint until,
                                  const Permit& permit) {
  const std::uint32_t ttl = seconds_left(until, asked.now);
  const bool wants_v4 = asked.query.type == type_a;
  const auto fits = [&](const IpAddress& address) { return address.is_v4() == wants_v4; };
  switch (answer.status) {
    case Status::refused:
      return deny(asked, answer.refusal);
    case Status::failed:
      counters_->failed.add();
      note(asked, false, answer.refusal.because, answer.refusal.detail, answer.refusal.fix);
      return write_refusal(asked, Rcode::server_failure, answer.refusal,
                           ExtendedError::network_error);
    case Status::no_such_name:
      note(asked, true, permit.because(), {}, {});
      return write_empty(asked, Rcode::no_such_name, ttl);
    case Status::no_address:
    case Status::found:
      break;
  }
  if (answer.set_aside) {
    const Because observed{Reason::observed, answer.set_aside->because.rule};
    note(asked, true, observed, answer.set_aside->detail, answer.set_aside->fix);
  } else if (const Refusal* set_aside = permit.set_aside()) {
    note(asked, true, permit.because(), set_aside->detail, set_aside->fix);
  } else {
    note(asked, true, permit.because(), {}, {});
  }
  if (std::none_of(answer.addresses.begin(), answer.addresses.end(), fits)) {
    return write_empty(asked, Rcode::no_error, ttl);
  }
  AnswerWriter writer(asked.out, asked.query, Rcode::no_error);
  for (const IpAddress& address : answer.addresses) {
    if (fits(address)) writer.add_address(address, ttl);
  }
  return finish(writer);
}

std::size_t StubCore::begin_lookup(const Asked& asked, const Permit& permit, const Caller& caller) {
  const LookupKey key = lookup_key(asked.query);
  auto found = lookups_.find(key);
  std::size_t& waits = waiting_by_client_[asked.client];
  if (waiting_ >= options_.waiting_max || waits >= options_.waiting_per_client_max ||
      (found == lookups_.end() && lookups_.size() >= options_.lookups_max)) {
    if (waits == 0) waiting_by_client_.erase(asked.client);
    return refuse_over_limit(asked);
  }
  ++waiting_;
  ++waits;
  const bool running = found != lookups_.end();
  Lookup& lookup = running ? found->second : lookups_[key];
  lookup.push_back(std::make_unique<Waiting>(asked, caller.later()));
  if (running) return 0;
  const auto on_end = [weak = weak_from_this(), key, permit](std::exception_ptr,
                                                             const SourceAnswer& answer) {
    // An exception leaves a default answer, which is a failure.
    if (std::shared_ptr<StubCore> self = weak.lock()) self->settle(key, permit, answer);
  };
  net::co_spawn(executor_, source_.look_up(permit, asked.now + options_.lookup_time_max), on_end);
  return 0;
}

StubCore::LookupKey StubCore::lookup_key(const Query& query) const {
  return {std::string(query.name.key()), generation_};
}

void StubCore::settle(const LookupKey& key, const Permit& permit, const SourceAnswer& answer) {
  auto found = lookups_.find(key);
  if (found == lookups_.end()) return;
  const Lookup lookup = std::move(found->second);
  lookups_.erase(found);
  const TimePoint now = std::chrono::steady_clock::now();
  TimePoint until = now + answer.ttl;
  Known* known = names_.find(key.name);
  if (known != nullptr && known->permit && key.generation == generation_) {
    until = remember(*known, answer, now);
  }
  std::array<std::uint8_t, AnswerWriter::size_max> out;
  for (const std::unique_ptr<Waiting>& waiting : lookup) {
    --waiting_;
    auto waits = waiting_by_client_.find(waiting->client);
    if (waits != waiting_by_client_.end() && --waits->second == 0) waiting_by_client_.erase(waits);
    const std::size_t limit = AnswerWriter::limit(waiting->query, waiting->stream);
    const Asked asked{waiting->query, waiting->client, waiting->stream, now,
                      std::span<std::uint8_t>(out).first(limit)};
    const std::size_t size = answer_with(asked, answer, until, permit);
    if (size != 0) waiting->reply(Bytes(out.data(), size));
  }
}

}  // namespace nono::dns
