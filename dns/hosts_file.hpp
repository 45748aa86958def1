#pragma once
// The hosts file (hosts(5)): names that the administrator of this machine has given addresses.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/host.hpp"

namespace nono::dns {

// Tells one content of a file from the next: which file it is, its size and time. Missing: all
// zero.
struct FileVersion {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t seconds = 0, nanoseconds = 0;
  bool regular = false;
  static FileVersion of(const std::string& path);
  friend bool operator==(const FileVersion&, const FileVersion&) = default;
};

using HostsTable = std::unordered_map<std::string, std::vector<IpAddress>>;

// Reads the text of a hosts file: `ADDRESS NAME...` per line, `#` begins a comment. Names in any
// case; lines that do not parse are skipped, as every resolver does. Addresses keep their order.
HostsTable parse_hosts(std::string_view text);

// Reads the file on first use, and again once it has changed. A missing file is an empty one.
class HostsFile {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit HostsFile(std::string path) : path_(std::move(path)) {}
  // The addresses of `name`, or null. Looks at the file at most once a second. Valid until the next
  // call.
  const std::vector<IpAddress>* find(const HostName& name, TimePoint now);

 private:
  void refresh();

  std::string path_;
  HostsTable table_;
  TimePoint checked_{};
  FileVersion seen_;
  bool ever_checked_ = false;
};

}  // namespace nono::dns
