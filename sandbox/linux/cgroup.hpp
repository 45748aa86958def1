#pragma once
// Limits on what the sandbox's processes use together, by control groups: version 2 where a
// directory above is ours or delegated to us, version 1 where the machine still has it (root).

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

// What a process sees of the control groups, as files of /proc tell it.
struct CgroupPlace {
  std::string directory;  // of the process's own group, in the file system
  std::string mount;      // the topmost directory of that hierarchy here
  bool unified = false;   // version 2
};

// Where the process's group of a controller ("memory", "pids") is; an empty directory where there
// is none. Pure: `mountinfo` and `cgroup` are the texts of /proc/self/mountinfo and
// /proc/self/cgroup. A controller that a version 1 hierarchy has is not in version 2.
CgroupPlace find_cgroup(const std::string& controller, const std::string& mountinfo,
                        const std::string& cgroup);

// The group of one sandbox, in one or two hierarchies. Removed with this object, which must not go
// before the sandbox's processes.
class Cgroup {
 public:
  Cgroup() = default;
  Cgroup(Cgroup&& other) noexcept = default;
  Cgroup& operator=(Cgroup&& other) noexcept = default;
  ~Cgroup() { remove(); }

  // Nothing where nothing is limited. Two processes of nono's own come on top of `processes`.
  // Errors (not_supported): no hierarchy with that controller in which a group may be made.
  static Result<Cgroup> make(const ResourceLimits& limits);

  // For the process that is to be limited: writing "0" to each moves it in.
  const std::vector<UniqueFd>& doors() const { return doors_; }
  void close_doors() { doors_.clear(); }
  bool ran_out_of_memory() const;  // something in it was killed for that
  void remove();                   // once its processes have ended

 private:
  Result<void> add(const std::string& controller, const ResourceLimits& limits);
  Result<std::string> make_directory(const std::string& controller, const CgroupPlace& place);

  std::vector<std::string> directories_;
  std::vector<UniqueFd> doors_;
  std::string memory_;  // the one of those that limits memory
  bool unified_memory_ = false;
};

// What RLIMIT_NPROC can do in its place, in a user namespace of its own: nothing for root, whom the
// kernel does not count.
bool can_limit_processes_without_cgroup(uid_t uid);

// Processes of the sandbox that are not the command's: L and I.
inline constexpr unsigned own_processes = 2;

}  // namespace nono::sandbox
