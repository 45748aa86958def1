#include "dns/servers.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace nono::dns {
namespace {

constexpr std::chrono::seconds distrust{30};
// Of one server; each has 75 KiB of tables.
constexpr std::size_t channels_max = 8;
// Enough for every query of a resolver that looks up a thousand names in both families.
constexpr std::size_t retired_max = 64;

}  // namespace

// One question on its way from server to server.
struct Servers::Walk {
  HostName name;
  Family family;
  AresChannel::Callback callback;
  std::deque<Turn> turns;
  Outcome worst{Verdict::timed_out, {}, {}, "no answer"};  // what to say if nobody answers usefully
};

Servers::Servers(Executor executor, std::vector<HostPort> addresses,
                 std::chrono::milliseconds timeout, unsigned tries)
    : executor_(executor), timeout_(timeout), tries_(std::max(tries, 1U)) {
  for (HostPort& address : addresses) servers_.push_back(Server{std::move(address), {}, {}});
}

void Servers::query(const HostName& name, Family family, AresChannel::Callback callback) {
  step(std::make_shared<Walk>(Walk{name, family, std::move(callback), order()}));
}

std::deque<Servers::Turn> Servers::order() const {
  auto now = std::chrono::steady_clock::now();
  std::deque<Turn> turns;
  for (bool distrusted : {false, true}) {
    for (std::size_t i = 0; i < servers_.size(); ++i) {
      if ((servers_[i].distrusted_until > now) == distrusted) turns.push_back(Turn{i, tries_});
    }
  }
  return turns;
}

// The first whose port may be used for a query more; so one is enough while few queries overlap,
// and the others become idle, and their ports new ones, while many do.
Result<std::shared_ptr<AresChannel>> Servers::channel_of(Server& server) {
  auto& channels = server.channels;
  for (const std::shared_ptr<AresChannel>& channel : channels) {
    if (channel->has_room()) return channel;
  }
  if (channels.size() == channels_max && !retire_oldest(server)) {
    return fail(ErrorCode::limit, "too many queries wait for its answers");
  }
  auto made = AresChannel::make(executor_, server.address, timeout_);
  if (made) channels.push_back(*made);
  return made;
}

// A server that is silent, for some names perhaps, would otherwise keep a port in use for as long
// as somebody asks for such a name.
bool Servers::retire_oldest(Server& server) {
  std::vector<std::shared_ptr<AresChannel>>& retired = server.retired;
  const auto idle = std::partition(retired.begin(), retired.end(),
                                   [](const auto& channel) { return channel->pending() > 0; });
  // Not here: one of them may be what is calling us.
  std::vector<std::shared_ptr<AresChannel>> done(idle, retired.end());
  net::post(executor_, [done = std::move(done)] {});
  retired.erase(idle, retired.end());
  if (retired.size() >= retired_max) return false;
  retired.push_back(std::move(server.channels.front()));
  server.channels.erase(server.channels.begin());
  return true;
}

void Servers::step(const std::shared_ptr<Walk>& walk) {
  if (walk->turns.empty()) return walk->callback(std::move(walk->worst));
  Turn turn = walk->turns.front();
  walk->turns.pop_front();
  --turn.tries_left;
  Server& server = servers_[turn.server];
  auto channel = channel_of(server);
  if (!channel) return take(walk, turn, Outcome{Verdict::failed, {}, {}, channel.error().what});
  (*channel)->query(walk->name, walk->family,
                    [weak = weak_from_this(), walk, turn](Outcome outcome) {
                      std::shared_ptr<Servers> self = weak.lock();
                      if (self) self->take(walk, turn, std::move(outcome));
                    });
}

void Servers::take(const std::shared_ptr<Walk>& walk, Turn turn, Outcome outcome) {
  Server& server = servers_[turn.server];
  switch (outcome.verdict) {
    case Verdict::found:
    case Verdict::no_such_name:
    case Verdict::no_address:
      server.distrusted_until = {};
      return walk->callback(std::move(outcome));
    case Verdict::failed:
      outcome.detail = server.address.to_string() + ": " + outcome.detail;
      walk->worst = std::move(outcome);
      break;
    case Verdict::timed_out:
      // Silence about AAAA alone is a well-known fault of middleboxes; it says nothing about A.
      if (walk->family == Family::v4) {
        server.distrusted_until = std::chrono::steady_clock::now() + distrust;
      }
      if (turn.tries_left > 0) walk->turns.push_back(turn);
      break;
  }
  step(walk);
}

std::string Servers::to_string() const {
  std::string text;
  for (const Server& server : servers_) {
    if (!text.empty()) text += ", ";
    text += server.address.to_string();
  }
  return text;
}

}  // namespace nono::dns
