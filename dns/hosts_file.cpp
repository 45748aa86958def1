#include "dns/hosts_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "config/base/fd.hpp"

namespace nono::dns {
namespace {

constexpr std::chrono::seconds check_interval{1};
// Block lists made into hosts files reach some 10 MiB; past this it is no hosts file.
constexpr std::size_t file_bytes_max = std::size_t{64} << 20;

// Cuts the next word off `line`; empty at its end.
std::string_view next_word(std::string_view& line) {
  constexpr std::string_view blanks = " \t\r\f\v";
  line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
  std::string_view word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

void parse_line(std::string_view line, HostsTable& table) {
  line = line.substr(0, line.find('#'));
  Result<IpAddress> address = IpAddress::parse(next_word(line));
  if (!address) return;
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
    Result<HostName> name = HostName::parse(word);
    if (!name) continue;
    std::vector<IpAddress>& addresses = table[name->text()];
    if (std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) {
      addresses.push_back(*address);
    }
  }
}

std::string read_all(int fd) {
  std::string text;
  std::size_t used = 0;
  while (used < file_bytes_max) {
    text.resize(used + 65536);
    ssize_t got = ::read(fd, text.data() + used, 65536);
    if (got <= 0) break;
    used += static_cast<std::size_t>(got);
  }
  text.resize(used);
  return text;
}

}  // namespace

FileVersion FileVersion::of(const std::string& path) {
  struct ::stat status {};
  if (::stat(path.c_str(), &status) != 0) return {};
  FileVersion version;
  version.device = status.st_dev;
  version.inode = status.st_ino;
  version.size = static_cast<std::uint64_t>(status.st_size);
  version.seconds = status.st_mtim.tv_sec;
  version.nanoseconds = status.st_mtim.tv_nsec;
  version.regular = S_ISREG(status.st_mode);
  return version;
}

HostsTable parse_hosts(std::string_view text) {
  HostsTable table;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    parse_line(text.substr(0, end), table);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return table;
}

const std::vector<IpAddress>* HostsFile::find(const HostName& name, TimePoint now) {
  if (!ever_checked_ || now - checked_ >= check_interval) {
    ever_checked_ = true;
    checked_ = now;
    refresh();
  }
  if (table_.empty()) return nullptr;
  auto found = table_.find(name.text());
  return found == table_.end() ? nullptr : &found->second;
}

void HostsFile::refresh() {
  FileVersion now = FileVersion::of(path_);
  if (now == seen_) return;
  seen_ = now;
  table_.clear();
  if (!now.regular) return;
  UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file) table_ = parse_hosts(read_all(file.get()));
}

}  // namespace nono::dns
