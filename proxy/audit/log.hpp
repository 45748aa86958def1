#pragma once
// The audit log: JSON lines, each chained to the one before by SHA-256, written by a thread of its
// own that commits whatever has gathered at once.

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
  std::function<void(const Record&)> on_record;  // on the writer's thread, after writing
};

// chain(n) = SHA-256(chain(n-1) as 64 hex digits ++ line n up to its chain field), hex; chain(-1)
// is empty.
class Log {
 public:
  // Opens and locks the file (one writer each) and continues its chain. Errors name the path.
  static Result<std::unique_ptr<Log>> open(LogOptions options);
  ~Log();  // writes what is left
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Queues a record. Any thread; blocks only when the queue is full (the disk is the bottleneck
  // then).
  void write(Record record);
  // Queues a decision and, where the log is required, waits until it is on disk. Without `required`
  // never suspends and never fails.
  Awaitable<Result<void>> commit(Record record);
  bool required() const;
  // Everything queued so far is on disk when this returns.
  void flush();

 private:
  class Writer;
  explicit Log(std::unique_ptr<Writer> writer);
  std::unique_ptr<Writer> writer_;
};

}  // namespace nono::audit
