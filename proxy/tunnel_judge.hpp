#pragma once
// What a client may say first through an opaque tunnel: TLS or HTTP for the very host that was
// permitted, or another protocol where a rule names its port. Tunnels are peeked, not trusted.

#include "config/base/permit.hpp"
#include "proxy/http/head.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/policy/engine.hpp"

namespace nono {

class TunnelJudge final : public FirstBytesJudge {
 public:
  // Engine and limits must outlive the judge.
  TunnelJudge(const policy::Engine& engine, Permit permit, const http::HeadLimits& limits)
      : engine_(engine), permit_(std::move(permit)), limits_(limits) {}

  Verdict judge(std::string_view bytes) override;

  const HostPort& target() const { return permit_.target(); }
  // Why, once refused (also when no verdict came in time).
  const Refusal& refusal() const { return refusal_; }
  // True where the client would understand an HTTP answer.
  bool speaks_http() const { return speaks_http_; }

 private:
  Verdict judge_tls(std::string_view bytes);
  Verdict judge_http(std::string_view bytes);
  Verdict judge_other();
  bool agrees(std::string_view name) const;
  Verdict refuse(std::string detail, std::string fix);

  const policy::Engine& engine_;
  Permit permit_;
  const http::HeadLimits& limits_;
  Refusal refusal_{
      {Reason::authority_mismatch, {}}, "the tunnel's first bytes did not come in time", {}};
  bool speaks_http_ = false;
};

}  // namespace nono
