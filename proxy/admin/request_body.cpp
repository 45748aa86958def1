#include "proxy/admin/request_body.hpp"

#include <fmt/format.h>

#include "proxy/http/chunked.hpp"

namespace nono::admin {

namespace {

constexpr std::size_t read_bytes = 4 * 1024;
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

Error BodyReader::too_large() const {
  return Error{Side::client,
               ErrorCode::body_too_large,
               fmt::format("the body is longer than {} bytes", bytes_max_),
               {}};
}

Awaitable<Result<std::string>> BodyReader::read(const http::RequestHead& head) {
  using Kind = http::Framing::Kind;
  if (head.framing.kind == Kind::length && head.framing.length > bytes_max_) {
    co_return fail(too_large());
  }
  const bool has_body = head.framing.kind == Kind::chunked || head.framing.length > 0;
  if (!has_body) co_return std::string();
  if (head.expect_continue && in_.empty()) {
    auto told = co_await stream_.write_all(go_on);
    if (!told) co_return fail(std::move(told.error()));
  }
  if (head.framing.kind == Kind::chunked) co_return co_await read_chunked();
  co_return co_await read_length(static_cast<std::size_t>(head.framing.length));
}

Awaitable<Result<void>> BodyReader::more() {
  auto count = co_await stream_.read_some(in_.prepare(read_bytes));
  if (!count) co_return fail(std::move(count.error()));
  if (*count == 0) co_return fail(ErrorCode::closed, "the body ends early", {}, Side::client);
  in_.commit(*count);
  co_return Result<void>{};
}

Awaitable<Result<std::string>> BodyReader::read_length(std::size_t length) {
  while (in_.unread().size() < length) {
    auto got = co_await more();
    if (!got) co_return fail(std::move(got.error()));
  }
  std::string body(in_.unread().substr(0, length));
  in_.consume(length);
  co_return body;
}

Awaitable<Result<std::string>> BodyReader::read_chunked() {
  http::ChunkDecoder decoder;
  std::string body;
  while (!decoder.done()) {
    if (in_.empty()) {
      auto got = co_await more();
      if (!got) co_return fail(std::move(got.error()));
    }
    http::ChunkDecoder::Progress progress;
    const char* wrong = decoder.decode(in_.unread(), in_.unread_writable().data(), progress);
    if (wrong != nullptr) co_return fail(ErrorCode::bad_request, wrong, {}, Side::client);
    if (body.size() + progress.content > bytes_max_) co_return fail(too_large());
    body.append(in_.unread().substr(0, progress.content));
    in_.consume(progress.used);
  }
  co_return body;
}

}  // namespace nono::admin
