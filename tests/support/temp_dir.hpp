#pragma once
// A folder of one test's own, gone when the test ends.

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace nono::testing {

// Made 0755 below TMPDIR or /tmp, owned by `owner` if given (needs root). Paths handed to the
// functions are relative to it; parents are made as needed, and everything made belongs to the
// owner.
class TempDir {
 public:
  explicit TempDir(std::optional<uid_t> owner = {}, const std::string& base = usual_base());
  static std::string usual_base();  // /srv where it can be written, else HOME, else /tmp
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const;
  // Writes a file and returns its path.
  std::string write(std::string_view name, std::string_view content, unsigned mode = 0644) const;
  std::string make_folder(std::string_view name, unsigned mode = 0755) const;
  // Copies a file from elsewhere, mode kept, and returns the copy's path.
  std::string copy(const std::string& from, std::string_view name) const;

 private:
  void own(const std::string& path) const;
  std::string path_;
  std::optional<uid_t> owner_;
};

std::string read_file(const std::string& path);  // empty if there is none

}  // namespace nono::testing
