#pragma once
// One name being looked up, and everybody who waits for it.

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "dns/servers.hpp"

namespace nono::dns {

// Asks for A and AAAA at once, and has an answer as soon as waiting longer would not be worth it:
// both are in, or A is in and AAAA has had 50 ms more (RFC 8305 3). Used on the executor's thread
// only; kept alive by its owner's table and by each waiter.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  struct Found {
    std::vector<IpAddress> addresses;  // happy-eyeballs order, not vetted
    std::chrono::seconds ttl{};        // as the DNS gave it
  };
  using Answer = Result<Found>;
  // What is worth remembering of a lookup that is over. No addresses: the name is known to have
  // none, or (`missing`) not to exist.
  struct Finding : Found {
    bool missing = false;
  };
  using Settled = std::function<void(std::optional<Finding>)>;

  Lookup(Executor executor, HostName name, std::shared_ptr<Servers> servers);
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  // `settled` is called once, when neither family can bring anything more; possibly before this
  // returns, and possibly long after there is an answer.
  void start(Settled settled);
  // Waits until there is an answer, or `deadline` has passed (dns_timeout). `self` by value: it
  // keeps the lookup alive while anybody waits.
  static Awaitable<Answer> wait(std::shared_ptr<Lookup> self,
                                std::chrono::steady_clock::time_point deadline);
  // Ends every wait: the resolver goes.
  void abandon();

 private:
  class Waiter;

  void take(Family family, Outcome outcome);
  void start_delay();
  const Outcome* decisive() const;
  Answer combined() const;
  Error failure() const;
  Error timeout() const;
  std::optional<Finding> finding() const;
  void publish(Answer answer);

  Executor executor_;
  HostName name_;
  std::shared_ptr<Servers> servers_;
  Settled settled_;
  std::optional<Outcome> v4_, v6_;
  SteadyTimer delay_;
  bool delay_started_ = false;
  std::optional<Answer> answer_;
  std::list<SteadyTimer*> waiters_;
};

// The error name_not_found, for lookups and for remembered negative answers.
Error no_address_error(const HostName& name);

}  // namespace nono::dns
