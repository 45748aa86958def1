#include "proxy/chain.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>

namespace nono {

namespace {

constexpr std::size_t answer_bytes_max = 16 * 1024;

Error chain_error(ErrorCode code, std::string what, std::string fix = {}) {
  return Error{Side::upstream, code, std::move(what), std::move(fix)};
}

// The answer's head and not a byte more: what follows belongs to the tunnel.
Awaitable<Result<std::string>> read_answer(TcpStream& stream) {
  std::string head;
  std::array<char, 1024> peeked;
  while (head.size() < answer_bytes_max) {
    auto readable = co_await stream.wait_readable();
    if (!readable) co_return fail(readable.error());
    const ssize_t count =
        ::recv(stream.native_handle(), peeked.data(), peeked.size(), MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) {
      stream.readiness().is_dry();
      continue;
    }
    if (count <= 0) {
      co_return fail(chain_error(ErrorCode::closed, "the upstream proxy closed without an answer"));
    }
    const std::size_t before = head.size();
    head.append(peeked.data(), static_cast<std::size_t>(count));
    const std::size_t end = head.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    const bool whole = end != std::string::npos;
    if (whole) head.resize(end + 4);
    const ssize_t taken =
        ::recv(stream.native_handle(), peeked.data(), head.size() - before, MSG_DONTWAIT);
    if (taken != static_cast<ssize_t>(head.size() - before)) {
      co_return fail(chain_error(ErrorCode::closed, "the upstream proxy's answer cannot be read"));
    }
    if (whole) co_return head;
  }
  co_return fail(chain_error(ErrorCode::bad_response, "the upstream proxy's answer is too long"));
}

Error no_answer(Error error, const UpstreamProxy& parent) {
  error.side = Side::upstream;
  if (error.code == ErrorCode::timeout) {
    error.code = ErrorCode::connect_timeout;
    error.what = "the upstream proxy " + parent.address.to_string() + " took too long to answer";
    error.fix = "ask who runs it, or raise connect_time_max";
  }
  return error;
}

}  // namespace

const UpstreamProxy* parent_for(const SessionConfig& session, const HostPort& target) {
  if (!session.upstream_proxy || bypasses(*session.upstream_proxy, target.host)) return nullptr;
  // This machine's own servers are not the parent's to reach, and keys go to them in the clear.
  const Host& host = target.host;
  const bool own = host.is_name() ? host.name().text() == "localhost" ||
                                        host.name().text().ends_with(".localhost")
                                  : classify(host.address()) == AddressClass::loopback;
  return own ? nullptr : &*session.upstream_proxy;
}

Awaitable<Result<void>> connect_through(TcpStream& stream, const UpstreamProxy& parent,
                                        const HostPort& target, const http::HeadLimits& limits) {
  const std::string authority = target.to_string();
  std::string request = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", authority);
  if (parent.authorization) {
    request += "Proxy-Authorization: ";
    request += parent.authorization->expose();
    request += "\r\n";
  }
  request += "\r\n";
  auto sent = co_await stream.write_all(request);
  wipe(request.data(), request.size());
  if (!sent) co_return fail(sent.error());
  auto answer = co_await read_answer(stream);
  if (!answer) co_return fail(no_answer(answer.error(), parent));
  auto head = http::parse_response_head(*answer, limits, "CONNECT");
  if (!head) co_return fail(head.error());
  if (head->status >= 200 && head->status < 300) co_return Result<void>{};
  if (head->status == 407) co_return fail(wants_other_credentials(parent));
  const std::string proxy = parent.address.to_string();
  co_return fail(chain_error(
      ErrorCode::parent_refused,
      fmt::format("the upstream proxy {} answered {} for {}", proxy, head->status, authority),
      "ask who runs it, or name the host with --upstream-bypass"));
}

Error wants_other_credentials(const UpstreamProxy& parent) {
  const std::string proxy = parent.address.to_string();
  return chain_error(ErrorCode::parent_refused,
                     "the upstream proxy " + proxy + " wants other credentials",
                     "give them as --upstream-proxy http://USER:PASSWORD@" + proxy);
}

void address_to_parent(http::RequestHead& head, const UpstreamProxy& parent,
                       const HostPort& target) {
  const std::string* host = head.fields.find("Host");
  const std::string authority = host != nullptr ? *host : target.to_string();
  head.target = "http://" + authority + (head.target == "*" ? "" : head.target);
  if (parent.authorization) head.fields.set("Proxy-Authorization", parent.authorization->expose());
}

}  // namespace nono
