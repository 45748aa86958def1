#pragma once
// A log read line by line in constant memory, however large.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"

namespace nono::audit {

class LineReader {
 public:
  enum class Step : std::uint8_t {
    line,        // without its line break
    incomplete,  // the last bytes of the file, which no line break follows
    too_long,    // a line over line_bytes_max, skipped
    end,
    failed,  // error() says why
  };
  static constexpr std::size_t line_bytes_max = std::size_t{4} << 20;

  // "-" is standard input. Errors name the path.
  static Result<LineReader> open(const std::string& path);
  // The next line. `line` is good until the next call; empty for the steps without one.
  Step next(std::string_view& line);
  const Error& error() const { return error_; }
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  LineReader(UniqueFd fd, std::string path);
  bool fill();  // false: at the end, or failed

  UniqueFd fd_;
  std::string path_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what is read and not yet given
  std::size_t searched_ = 0;         // of that, without a line break
  bool skipping_ = false, at_end_ = false, failed_ = false;
  std::uint64_t bytes_read_ = 0;
  Error error_;
};

}  // namespace nono::audit
