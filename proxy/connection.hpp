#pragma once
// One client connection, from the first byte to the last: the straight line of the design.

#include <memory>
#include <optional>

#include "proxy/http/body.hpp"
#include "proxy/inbound.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/net/tcp_stream.hpp"
#include "proxy/request.hpp"
#include "proxy/request_target.hpp"
#include "proxy/trail.hpp"
#include "proxy/worker.hpp"

namespace nono {

class TunnelJudge;

class Connection : public Pooled {
 public:
  // `own`: the session that its listener belongs to, so that no token is asked for; null otherwise.
  // `entrance`: what the client wants where it does not speak to us.
  // `prepared`: as TcpStream has it.
  Connection(Worker& worker, UniqueFd socket, SessionPtr own, Entrance entrance = {},
             Prepared prepared = Prepared::no);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Awaitable<void> run();
  // Whether what it carries now is this session's.
  // By name: what began before a reload has the session's older self, and ends with its successor.
  bool belongs_to(const Session& session) const {
    return (session_ && session_->name() == session.name()) ||
           (own_ && own_->name() == session.name());
  }
  // Closes at once: run() then ends by itself.
  void cut() noexcept;
  // The proxy is stopping: ends the connection now where it only waits for another request,
  // otherwise after the one that is under way.
  void let_go() noexcept;

 private:
  friend class Worker;
  // Whether what the client says first through a tunnel is judged once that is open, or was
  // already.
  enum class Peek : std::uint8_t { behind, done };
  std::optional<Problem> identify(const http::RequestHead& head, Trail& trail);
  std::optional<Problem> identify_by(std::string_view token, Trail& trail);
  std::optional<Problem> identify_without_token(Trail& trail);
  std::optional<Problem> identify_reverse(const http::RequestHead& head, Trail& trail);
  std::optional<Problem> bind(SessionPtr session, Trail& trail);
  void unbind();
  Awaitable<Next> end_silent();
  std::uint16_t own_port();  // that the client connected to; 0 where there is none
  Awaitable<Next> serve_one();
  Awaitable<Next> serve_connect(http::RequestHead& head);
  Awaitable<Next> open_tunnel(HostPort target, Decision decision, std::unique_ptr<Trail> own_trail,
                              const http::RequestHead* head, Peek peek = Peek::behind);
  Awaitable<bool> begins_with_socks();
  Awaitable<Next> serve_socks();
  SessionPtr session_of_everybody() const;
  Awaitable<std::optional<Problem>> greet_socks(Trail& trail);
  Awaitable<Next> refuse_socks(Trail& trail, const Problem& problem);
  template <class Message>
  Awaitable<Result<Message>> read_socks(Result<std::optional<Message>> (*parse)(std::string_view));
  Awaitable<bool> establish(std::chrono::milliseconds time, std::string& early, Trail& trail);
  Awaitable<void> serve_tunnel();
  Awaitable<Next> serve_intercepted(const Permit& permit, Trail& trail);
  Awaitable<void> serve_http_inside(TunnelJudge& judge);
  Awaitable<Next> serve_inside(const Permit& permit, ByteStream& client, http::InputBuffer& inner,
                               bool tls);
  Awaitable<Next> serve_head_inside(const Permit& permit, ByteStream& client,
                                    http::InputBuffer& inner, bool tls, http::RequestHead& head,
                                    Trail& trail);
  Awaitable<Next> serve_forward(http::RequestHead& head);
  const Decision& decide_forward(const AbsoluteTarget& target);
  Awaitable<Next> serve_reverse(http::RequestHead& head);
  Awaitable<Next> refuse(Trail& trail, const Problem& problem, const http::RequestHead* head);
  Awaitable<Next> refuse_captured(Trail& trail, const Problem& problem);
  Awaitable<void> serve_captured();
  Awaitable<void> serve_inbound();
  Awaitable<Next> serve_captured_port(HostPort place, std::unique_ptr<Trail> own_trail);
  std::optional<Problem> find_name(HostPort& place);
  struct FirstWords;
  Awaitable<FirstWords> read_first_words(std::chrono::milliseconds silence_max);
  Awaitable<Next> serve_words(HostPort target, FirstWords words, std::unique_ptr<Trail> own_trail);
  Awaitable<Next> serve_http_for(Permit permit);
  Awaitable<Next> serve_http_by_host(HostPort place);

  // A tunnel that has been opened. It is served once the coroutines that opened it are gone: it may
  // stay idle for long, and then costs what these frames hold (bench/README.md).
  struct Tunnel {
    std::unique_ptr<Trail> trail;
    std::unique_ptr<FirstBytesJudge> judge;  // a TunnelJudge, until it lets the client pass
    std::string early;                       // what the client sent behind its CONNECT
  };

  // What the last request in absolute form was for, and what its session's rules say: the next one
  // is for the same place more often than not.
  struct Forwarded {
    ReadAuthority authority;
    std::string host;  // as a Host field has it
    SessionPtr session;
    Decision decision;
  };

  Worker& worker_;
  Gateway& gateway_;
  SessionPtr own_;
  std::shared_ptr<OriginalDestination> captured_;  // null: the client speaks to us
  std::shared_ptr<const InnerPort> inward_;        // null: it wants to go out
  std::optional<dns::SyntheticPool::Lease> name_;  // its made-up address stays this name's
  SessionPtr session_;  // of the last request; its rules hold until another token comes
  std::unique_ptr<TcpStream> client_;
  http::InputBuffer in_;
  Upstream upstream_;  // kept between requests of this connection
  std::unique_ptr<Forwarded> forwarded_;
  std::unique_ptr<Tunnel> tunnel_;
  ByteStream* current_;                    // what cut() closes: the socket, or TLS upon it
  std::optional<std::uint16_t> own_port_;  // asked for when first wanted
  bool admitted_ = false;                  // the session's limits had room for this connection
  bool first_ = true;
  bool waiting_ = false;  // for a request's first byte
  bool leaving_ = false;
  bool socks_ = false;        // the client speaks SOCKS5
  bool socks_asked_ = false;  // and waits for the reply to its request
  std::size_t place_ = 0;     // in the worker's list
};

}  // namespace nono
