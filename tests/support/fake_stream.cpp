#include "tests/support/fake_stream.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace nono::test {

FakeStream::FakeStream(Executor executor) : changed_(executor) {
  changed_.expires_at(std::chrono::steady_clock::time_point::max());
}

void FakeStream::receive(std::string_view piece) {
  if (!piece.empty()) pieces_.emplace_back(piece);
  wake();
}

void FakeStream::receive_split(std::string_view bytes, const std::vector<std::size_t>& positions) {
  std::size_t begin = 0;
  for (const std::size_t position : positions) {
    receive(bytes.substr(begin, position - begin));
    begin = position;
  }
  receive(bytes.substr(begin));
}

void FakeStream::receive_bytewise(std::string_view bytes) {
  for (const char byte : bytes) receive({&byte, 1});
}

void FakeStream::receive_failure(ErrorCode code) {
  failed_ = true;
  failure_ = code;
  wake();
}

void FakeStream::when_written(std::string text, std::function<void()> action) {
  actions_.emplace_back(std::move(text), std::move(action));
  run_actions();
}

void FakeStream::let_write() {
  writes_blocked_ = false;
  wake();
}

std::string FakeStream::unread() const {
  std::string bytes;
  for (const std::string& piece : pieces_) bytes += piece;
  return bytes;
}

void FakeStream::expire() {
  expired_ = closed_ = true;
  wake();
}

Error FakeStream::gone() const {
  const auto code = expired_ ? ErrorCode::timeout : ErrorCode::closed;
  return Error{Side::self, code, "the fake stream is closed", {}};
}

bool FakeStream::fails_now() {
  ++operations_;
  return fails_from_ > 0 && operations_ >= fails_from_;
}

std::size_t FakeStream::take(std::span<char> buffer) {
  std::string& piece = pieces_.front();
  const std::size_t count = std::min(buffer.size(), piece.size());
  std::memcpy(buffer.data(), piece.data(), count);
  piece.erase(0, count);
  if (piece.empty()) pieces_.pop_front();
  return count;
}

// Those of the actions whose text has been written, each once. An action may add pieces and
// actions.
void FakeStream::run_actions() {
  for (std::size_t i = 0; i < actions_.size();) {
    if (written_.find(actions_[i].first) == std::string::npos) {
      ++i;
      continue;
    }
    const auto action = std::move(actions_[i].second);
    actions_.erase(actions_.begin() + static_cast<std::ptrdiff_t>(i));
    action();
  }
}

Awaitable<Result<std::size_t>> FakeStream::read_some(std::span<char> buffer) {
  // A read into nothing or beside another read is a bug of the code under test.
  if (buffer.empty() || reading_) throw std::logic_error("a read without room or a second one");
  if (fails_now()) co_return fail(ErrorCode::io, "scripted failure");
  while (true) {
    if (closed_) co_return fail(gone());
    if (!pieces_.empty()) co_return take(buffer);
    if (failed_) co_return fail(failure_, "scripted failure");
    if (ended_) co_return std::size_t{0};
    reading_ = true;
    co_await changed_.async_wait(as_result);
    reading_ = false;
    auto state = co_await net::this_coro::cancellation_state;
    if (state.cancelled() != net::cancellation_type::none)
      co_return fail(ErrorCode::closed, "the read was cancelled");
  }
}

Awaitable<Result<void>> FakeStream::write_all(std::span<const char> data) {
  if (writing_) throw std::logic_error("a second write");
  if (fails_now()) co_return fail(ErrorCode::io, "scripted failure");
  while (writes_blocked_ && !closed_) {
    writing_ = true;
    co_await changed_.async_wait(as_result);
    writing_ = false;
    auto state = co_await net::this_coro::cancellation_state;
    if (state.cancelled() != net::cancellation_type::none)
      co_return fail(ErrorCode::closed, "the write was cancelled");
  }
  if (closed_ || send_ended_) co_return fail(gone());
  writes_.emplace_back(data.data(), data.size());
  written_.append(data.data(), data.size());
  run_actions();
  co_return Result<void>{};
}

Awaitable<Result<void>> FakeStream::shutdown_send() {
  send_ended_ = true;
  co_return Result<void>{};
}

Awaitable<void> FakeStream::close_gracefully() {
  close();
  co_return;
}

void FakeStream::close() noexcept {
  closed_ = true;
  try {
    wake();
  } catch (...) {  // a timer's cancel does not fail
  }
}

}  // namespace nono::test
