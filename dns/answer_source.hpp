#pragma once
// Where the stub server's answers come from, and what it asks before it answers.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/base/permit.hpp"
#include "proxy/net/asio.hpp"

namespace nono::dns {

// Says which names may be asked for. Called once per name and a while (StubLimits::judged_for), on
// the server's thread.
class NameJudge {
 public:
  virtual ~NameJudge() = default;
  virtual Decision judge(const HostName& name) = 0;
};

// What is known of a permitted name.
struct SourceAnswer {
  enum class Status : std::uint8_t {
    found,
    no_address,  // the name exists, or may
    no_such_name,
    refused,  // its addresses may not be dialled; `refusal` says why
    failed,   // nobody could say
  };
  Status status = Status::failed;
  std::vector<IpAddress> addresses;  // of both families
  std::chrono::seconds ttl{};        // for how long this may be remembered, here and by clients
  Refusal refusal{};
  // Where only observe mode lets the addresses be told: what would have refused them.
  std::optional<Refusal> set_aside{};
};

// Only a Permit leads to an answer: no name is looked up, nor given an address, that was not
// judged.
class AnswerSource {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~AnswerSource() = default;
  // The answer where nobody need be asked; none where look_up() must be awaited.
  virtual std::optional<SourceAnswer> at_once(const Permit& permit, TimePoint now) = 0;
  // Asks. Must not touch the source after it was suspended: both may end while it waits.
  virtual Awaitable<SourceAnswer> look_up(Permit permit, TimePoint deadline) = 0;
  // The name behind an address that this source made up.
  virtual std::optional<HostName> name_of(const IpAddress& /*address*/) { return std::nullopt; }
};

}  // namespace nono::dns
