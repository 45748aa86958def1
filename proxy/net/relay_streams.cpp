#include <boost/asio/experimental/awaitable_operators.hpp>
#include <string>

#include "proxy/net/relay.hpp"

namespace nono {

namespace {

// One direction of relay_streams().
struct Pipe {
  ByteStream& from;
  ByteStream& to;
  std::string_view early;
  std::chrono::milliseconds idle;
  RelayFilter* filter;

  // Both: the other direction may have ended long ago, and then nothing else wakes who waits here.
  void renew() const {
    from.expires_after(idle);
    to.expires_after(idle);
  }
  void close() const {
    from.close();
    to.close();
  }
};

Awaitable<Result<std::uint64_t>> pump(Pipe pipe) {
  std::uint64_t moved = 0;
  std::string filtered;
  std::string buffer(16 * 1024, '\0');
  std::string_view data = pipe.early;
  while (true) {
    pipe.renew();
    moved += data.size();
    if (pipe.filter != nullptr) {
      filtered.clear();
      auto fed = pipe.filter->feed(data, filtered);
      data = filtered;
      if (!fed) {
        pipe.close();
        co_return fail(fed.error());
      }
    }
    auto sent = co_await pipe.to.write_all(data);
    if (!sent) {
      pipe.close();
      co_return fail(sent.error());
    }
    auto count = co_await pipe.from.read_some(buffer);
    if (!count) {
      pipe.close();
      co_return fail(count.error());
    }
    if (*count == 0) break;
    data = std::string_view(buffer.data(), *count);
  }
  if (pipe.filter != nullptr) {
    filtered.clear();
    pipe.filter->finish(filtered);
    co_await pipe.to.write_all(filtered);
  }
  co_await pipe.to.shutdown_send();
  co_return moved;
}

}  // namespace

Awaitable<RelayResult> relay_streams(ByteStream& client, ByteStream& upstream,
                                     std::string_view early_client, std::string_view early_upstream,
                                     std::chrono::milliseconds idle, RelayFilter* to_client) {
  using namespace net::experimental::awaitable_operators;
  const Pipe up_pipe{client, upstream, early_client, idle, nullptr};
  const Pipe down_pipe{upstream, client, early_upstream, idle, to_client};
  auto [up, down] = co_await (pump(up_pipe) && pump(down_pipe));
  RelayResult result;
  result.bytes_to_upstream = up.value_or(0);
  result.bytes_to_client = down.value_or(0);
  if (!up || !down) {
    const ErrorCode code = up ? down.error().code : up.error().code;
    result.end = code == ErrorCode::timeout ? RelayEnd::idle : RelayEnd::reset;
  }
  client.close();
  upstream.close();
  co_return result;
}

}  // namespace nono
