#pragma once
// What tests of the audit log share: a folder of their own, records, lines, a log run to its end.

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/resource.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "proxy/audit/log.hpp"
#include "proxy/audit/verify.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::test {

inline std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

inline void write_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::ofstream out(path, std::ios::trunc);
  for (const std::string& line : lines) out << line << "\n";
}

inline void append_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::app) << text;
}

inline audit::Record record_for(const std::string& host) {
  audit::Record record;
  record.time = std::chrono::system_clock::now();
  record.session = "test";
  record.host = host;
  record.port = 443;
  return record;
}

inline std::unique_ptr<audit::Log> open_log(audit::LogOptions options) {
  auto log = audit::Log::open(std::move(options));
  if (!log) FAIL(log.error().what);
  return std::move(*log);
}

inline std::unique_ptr<audit::Log> open_log(const std::string& path) {
  audit::LogOptions options;
  options.path = path;
  return open_log(std::move(options));
}

// Writes the hosts one after the other, each a group of its own.
inline void write_hosts(audit::Log& log, const std::vector<std::string>& hosts) {
  for (const std::string& host : hosts) {
    log.write(record_for(host));
    log.flush();
  }
}

// commit() of one record, waited for.
inline bool commit(audit::Log& log, const std::string& host) {
  net::io_context io;
  const bool stored = run_coroutine(io, log.commit(record_for(host))).has_value();
  log.flush();  // the writer may still be leaving `io`
  return stored;
}

inline audit::Verdict verdict_of(const std::vector<std::string>& files) {
  auto verdict = audit::verify(files);
  if (!verdict) FAIL(verdict.error().what);
  return *verdict;
}

// Files of this process end at `bytes` while this lives: what a full disk is to a writer.
class FullDisk {
 public:
  explicit FullDisk(std::uint64_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_ = {};
};

}  // namespace nono::test
