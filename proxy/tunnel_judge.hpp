#pragma once
// What a client may say first through an opaque tunnel: TLS for the very host that was permitted,
// or another protocol where a rule names its port. Tunnels are peeked, not trusted. Plain HTTP is
// taken out of the tunnel, so that each of its requests is judged.

#include "config/base/permit.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/policy/engine.hpp"

namespace nono {

class Trail;
struct ClientHello;

// Whether a client that begins like this speaks HTTP/1. `at_end`: it sends no more, which ends a
// line as well.
enum class Looks : std::uint8_t { unknown_yet, like_http, otherwise };
Looks look_at(std::string_view bytes, bool at_end = false);

class TunnelJudge final : public FirstBytesJudge, public Pooled {
 public:
  // The engine must outlive the judge; so must the trail, which is told what is of note. It may be
  // null.
  TunnelJudge(const policy::Engine& engine, Permit permit, Trail* trail = nullptr)
      : engine_(engine), permit_(std::move(permit)), trail_(trail) {}

  // Refuses plain HTTP as well: the relay then leaves the client open, and nothing went upstream.
  Verdict judge(std::string_view bytes, bool at_end) override;

  const Permit& permit() const { return permit_; }
  // Why, once refused (also when no verdict came in time).
  const Refusal& refusal() const { return refusal_; }
  // True where it was refused for being plain HTTP, and all that the client sent so far.
  bool speaks_http() const { return !taken_.empty(); }
  const std::string& taken() const { return taken_; }

 private:
  Verdict judge_tls(const ClientHello& hello);
  Verdict judge_other();
  bool agrees(std::string_view name) const;
  Verdict refuse(std::string detail, std::string fix);

  const policy::Engine& engine_;
  Permit permit_;
  Trail* trail_;
  Refusal refusal_{
      {Reason::authority_mismatch, {}},
      "the tunnel's first bytes did not come in time",
      "let the client end its first line: a bare word may become an HTTP request"};
  std::string taken_;
};

}  // namespace nono
