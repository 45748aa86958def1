#pragma once
// The audit log: JSON lines, each chained to the one before by SHA-256, written by a thread of its
// own that commits whatever has gathered at once.

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "config/base/error.hpp"
#include "proxy/audit/record.hpp"
#include "proxy/net/asio.hpp"

namespace nono::audit {

struct LogOptions {
  std::string
      path;  // appended to, created 0600 (its folder 0700); empty: records go to on_record only
  bool required = false;  // commit() waits for the disk and fails when it cannot be written
  // Once the file has this size it becomes FILE.1 and a new one goes on; 0: never.
  std::uint64_t rotate_bytes = 0;
  unsigned keep = 0;                             // how many rotated files stay; 0: all
  std::function<void(const Record&)> on_record;  // on the writer's thread, after writing
};

// Since the log was opened.
struct LogStats {
  // Upper bounds of the buckets of `commits`; the last bucket has none.
  static constexpr std::array<std::chrono::microseconds, 9> commit_bounds = {
      std::chrono::microseconds(100),  std::chrono::microseconds(300),
      std::chrono::milliseconds(1),    std::chrono::milliseconds(3),
      std::chrono::milliseconds(10),   std::chrono::milliseconds(30),
      std::chrono::milliseconds(100),  std::chrono::milliseconds(300),
      std::chrono::milliseconds(1'000)};

  std::uint64_t written = 0;    // lines in the file, notes included
  std::uint64_t lost = 0;       // records that could not be written
  bool failing = false;         // the last lines could not be written
  std::uint64_t rotations = 0;  // new files begun
  std::size_t queue_depth = 0;  // records that wait for the writer
  // How long decisions waited for the disk, each in one bucket; a required log only.
  std::array<std::uint64_t, commit_bounds.size() + 1> commits{};
  std::chrono::microseconds commit_time{0};  // all of them together
};

class Log {
 public:
  // Opens and locks the file (one writer each) and continues its chain; an incomplete last line is
  // set aside in a note. Errors name the path.
  static Result<std::unique_ptr<Log>> open(LogOptions options);
  ~Log();  // writes what is left
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Queues a record, as text. Any thread. When the queue is full (the disk is the bottleneck then)
  // a required log blocks; another loses the record, which a note in the log counts.
  void write(const Record& record);
  // Queues a decision and, where the log is required, waits until it is on disk. Without `required`
  // never suspends and never fails. `record` is done with once this suspends, and the caller's
  // context has to live until a later flush().
  Awaitable<Result<void>> commit(const Record& record);
  bool required() const;
  // Everything queued so far is on disk when this returns.
  void flush();
  // Any thread. Where the last lines could not be written, the writer tries again to note it: a
  // proxy that refuses everything for it would have nothing else to try with.
  void retry();
  // Any thread.
  LogStats stats() const;

 private:
  class Writer;
  explicit Log(std::unique_ptr<Writer> writer);
  std::unique_ptr<Writer> writer_;
};

}  // namespace nono::audit
