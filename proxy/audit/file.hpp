#pragma once
// The audit log on disk: one writer, whole lines only, rotated by size.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"

namespace nono::audit {

// Where a log ended when it was opened.
struct LogTail {
  std::string chain;  // of the last whole line; empty: there is none
  std::uint64_t next_sequence = 0;
  std::string fragment;              // the begin of what followed that line without a line break
  std::uint64_t fragment_bytes = 0;  // all of it
};

// FILE, and once it has grown FILE.1 (the one before), FILE.2, ... One thread.
class LogFile {
 public:
  struct Options {
    std::string path;
    std::uint64_t rotate_bytes = 0;  // 0: never
    unsigned keep = 0;               // rotated files; 0: all
  };
  // Creates FILE (0600, its folder 0700) or takes it up, and locks it. A missing or empty FILE
  // follows FILE.1, if that is a log: a crash may have come between the two. Errors name the path.
  static Result<LogFile> open(Options options, LogTail& tail);

  // To be called before each append(): renames a FILE that has reached its size and begins a new
  // one; begins a new one too if FILE was deleted under us. Where that cannot be done, the lines go
  // on in the file at hand and rotate_error() says why.
  void prepare();
  // Bytes in FILE; 0 means that the next line is its first.
  std::uint64_t size() const { return end_; }
  // How much more fits before FILE is rotated.
  std::uint64_t room() const;

  // Appends as many whole lines of `text` as can be written and returns their bytes. With `sync`
  // they are on disk then. What was written beyond them is taken back.
  std::size_t append(std::string_view text, bool sync);

  // Sentences for people; empty once it goes well again.
  const std::string& write_error() const { return write_error_; }
  const std::string& rotate_error() const { return rotate_error_; }
  std::uint64_t rotations() const { return rotations_; }

 private:
  explicit LogFile(Options options);
  Result<void> open_folder();
  // False: FILE changed places with another one meanwhile, which is to be opened instead.
  Result<bool> open_and_lock();
  Result<LogTail> find_tail();
  void rotate();
  void begin_again(bool keep_old);
  bool shift_older();
  bool make_durable();
  void cannot_rotate(int error);
  bool exists(const std::string& name) const;
  std::string older(unsigned number) const { return name_ + "." + std::to_string(number); }

  Options options_;
  UniqueFd folder_, file_;
  std::string name_;  // within the folder
  bool regular_ = true;
  bool dirty_ = false;        // something behind end_ must be cut off before the next line
  bool names_dirty_ = false;  // the folder's entries may not be on disk yet
  std::uint64_t end_ = 0;
  std::uint64_t rotations_ = 0;
  std::string write_error_, rotate_error_;
};

}  // namespace nono::audit
