#include "sandbox/linux/cgroup.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace nono::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view name_start = "nono-";

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// One write, as the kernel wants it; errno tells why it failed.
bool write_text(const std::string& path, std::string_view text) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool has_word(std::string_view text, std::string_view word, char separator) {
  while (!text.empty()) {
    std::size_t end = std::min(text.find(separator), text.size());
    if (text.substr(0, end) == word) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

struct Mount {
  std::string root;  // the part of the hierarchy that is mounted
  std::string point;
  std::string type;
  std::string options;
};

// proc_pid_mountinfo(5): ID PARENT DEV ROOT POINT OPTIONS [FIELDS...] - TYPE SOURCE SUPER_OPTIONS
std::vector<Mount> read_mounts(const std::string& mountinfo) {
  std::vector<Mount> mounts;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string skipped;
    Mount mount;
    words >> skipped >> skipped >> skipped >> mount.root >> mount.point >> skipped;
    while (words >> skipped && skipped != "-") {
    }
    words >> mount.type >> skipped >> mount.options;
    if (mount.type == "cgroup" || mount.type == "cgroup2") mounts.push_back(std::move(mount));
  }
  return mounts;
}

// The process's own group: ID:CONTROLLERS:PATH, and 0::PATH of version 2.
std::string own_group(const std::string& cgroup, const std::string& controllers) {
  std::istringstream lines(cgroup);
  for (std::string line; std::getline(lines, line);) {
    std::size_t first = line.find(':');
    std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string names = line.substr(first + 1, second - first - 1);
    bool same = controllers.empty() ? names.empty() : has_word(names, controllers, ',');
    if (same) return line.substr(second + 1);
  }
  return {};
}

CgroupPlace place_in(const Mount& mount, const std::string& group, bool unified) {
  // A group outside what is mounted here is none that can be reached.
  if (group.empty() || group.starts_with("/..")) return {};
  std::string below = group;
  if (mount.root != "/") {
    if (!group.starts_with(mount.root)) return {};
    below = group.substr(mount.root.size());
  }
  std::string directory = mount.point + (below == "/" ? "" : below);
  return {directory, mount.point, unified};
}

std::string remedy() {
  return "run it where a control group is yours: `systemd-run --user --scope nono run ...`, or as "
         "root";
}

bool process_exists(const std::string& name) {
  pid_t pid = 0;
  std::string_view digits = std::string_view(name).substr(name_start.size());
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  bool whole = error == std::errc() && end == digits.data() + digits.size();
  return !whole || ::kill(pid, 0) == 0 || errno != ESRCH;
}

// Of runs whose parent was killed. A group with processes in it cannot be removed.
void remove_left_behind(const std::string& parent) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(name_start) && !process_exists(name)) ::rmdir(entry.path().c_str());
  }
}

// True where groups made in `directory` have the controller. Only the root of the hierarchy may
// hold processes and pass controllers on; elsewhere whoever manages the groups has decided.
bool passes_on(const std::string& directory, const CgroupPlace& place,
               const std::string& controller) {
  std::string control = directory + "/cgroup.subtree_control";
  auto passed = [&] {
    std::string words = read_text(control);
    std::replace(words.begin(), words.end(), '\n', ' ');
    return has_word(words, controller, ' ');
  };
  if (passed()) return true;
  if (directory != place.mount) return false;
  write_text(control, "+" + controller);
  return passed();
}

}  // namespace

CgroupPlace find_cgroup(const std::string& controller, const std::string& mountinfo,
                        const std::string& cgroup) {
  CgroupPlace unified;
  for (const Mount& mount : read_mounts(mountinfo)) {
    if (mount.type == "cgroup" && has_word(mount.options, controller, ',')) {
      return place_in(mount, own_group(cgroup, controller), false);
    }
    if (mount.type == "cgroup2") unified = place_in(mount, own_group(cgroup, ""), true);
  }
  return unified;
}

Result<Cgroup> Cgroup::make(const ResourceLimits& limits) {
  Cgroup group;
  if (limits.memory_bytes) {
    if (Result<void> added = group.add("memory", limits); !added) return fail(added.error());
  }
  if (limits.processes) {
    if (Result<void> added = group.add("pids", limits); !added) return fail(added.error());
  }
  return group;
}

// In version 2 a group beside those that hold processes: the nearest directory above ours that
// passes the controller on and lets us make one.
Result<std::string> Cgroup::make_directory(const std::string& controller,
                                           const CgroupPlace& place) {
  std::string name = "/" + std::string(name_start) + std::to_string(::getpid());
  int why = ENOENT;
  for (std::string at = place.directory; at.starts_with(place.mount);
       at.resize(std::max<std::size_t>(at.rfind('/'), 1))) {
    bool usable = !place.unified || passes_on(at, place, controller);
    if (usable) remove_left_behind(at);
    if (usable && ::mkdir((at + name).c_str(), 0755) == 0) return at + name;
    if (usable && errno == EEXIST) return at + name;  // made for the other controller
    if (usable) why = errno;
    if (!place.unified || at == place.mount) break;
  }
  return fail(ErrorCode::not_supported,
              fmt::format("no control group of the {} controller can be made here: {}", controller,
                          why == ENOENT ? "none is delegated" : std::strerror(why)),
              remedy());
}

Result<void> Cgroup::add(const std::string& controller, const ResourceLimits& limits) {
  CgroupPlace place =
      find_cgroup(controller, read_text("/proc/self/mountinfo"), read_text("/proc/self/cgroup"));
  if (place.directory.empty()) {
    return fail(
        ErrorCode::not_supported,
        fmt::format("there is no control group hierarchy with the {} controller here", controller),
        remedy());
  }
  Result<std::string> made = make_directory(controller, place);
  if (!made) return fail(made.error());
  const std::string& directory = *made;
  bool known = std::find(directories_.begin(), directories_.end(), directory) != directories_.end();
  if (!known) directories_.push_back(directory);
  auto failed = [&] {
    int error = errno;
    return fail(
        ErrorCode::not_supported,
        fmt::format("cannot limit by control group {}: {}", directory, std::strerror(error)),
        remedy());
  };
  if (controller == "pids") {
    if (!write_text(directory + "/pids.max", std::to_string(*limits.processes + own_processes))) {
      return failed();
    }
  } else {
    const std::string bytes = std::to_string(*limits.memory_bytes);
    memory_ = directory;
    unified_memory_ = place.unified;
    if (!write_text(directory + (place.unified ? "/memory.max" : "/memory.limit_in_bytes"),
                    bytes)) {
      return failed();
    }
    // Without these the limit would be one of memory that is not swapped out. They are missing
    // where the kernel does not account for swap, or has none.
    if (place.unified) {
      write_text(directory + "/memory.swap.max", "0");
      if (!write_text(directory + "/memory.oom.group", "1")) return failed();
    } else {
      write_text(directory + "/memory.memsw.limit_in_bytes", bytes);
      write_text(directory + "/memory.swappiness", "0");
    }
  }
  if (known) return {};
  UniqueFd door(::open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!door) return failed();
  doors_.push_back(std::move(door));
  return {};
}

bool Cgroup::ran_out_of_memory() const {
  if (memory_.empty()) return false;
  std::istringstream events(
      read_text(memory_ + (unified_memory_ ? "/memory.events" : "/memory.oom_control")));
  std::string name;
  long count = 0;
  while (events >> name >> count) {
    if (name == "oom_kill" && count > 0) return true;
  }
  return false;
}

void Cgroup::remove() {
  // The last process of a killed sandbox may take a moment to be gone; version 1 has no event for
  // that.
  constexpr int tries_max = 1000;
  for (const std::string& directory : directories_) {
    for (int i = 0; i < tries_max && ::rmdir(directory.c_str()) != 0 && errno == EBUSY; ++i) {
      ::poll(nullptr, 0, 1);
    }
  }
  directories_.clear();
}

bool can_limit_processes_without_cgroup(uid_t uid) {
  return uid != 0;
}

}  // namespace nono::sandbox
