#pragma once
// Runs a plan as a program would: a process P of its own starts the sandbox, as root or as an
// ordinary user, and tells the test how it ended. Commands are shell lines or functions of the test
// that run inside the sandbox (SandboxPlan::probe).

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/ahead.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox::test {

struct User {
  uid_t uid;
};

// Both where the tests run as root, otherwise whoever runs them.
inline std::vector<User> users() {
  constexpr uid_t ordinary = 12345;
  if (::geteuid() != 0) return {User{::geteuid()}};
  return {User{0}, User{ordinary}};
}

inline bool become(User user) {
  if (user.uid == ::geteuid()) return true;
  if (::setgroups(0, nullptr) != 0 || ::setgid(user.uid) != 0 || ::setuid(user.uid) != 0)
    return false;
  return ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;  // as after an exec
}

// A directory that is gone at the end of the test, owned by the user.
class Directory {
 public:
  Directory(User user, const std::string& parent) {
    std::string name = parent + "/nono-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = std::filesystem::canonical(name).string();
    if (::chown(path_.c_str(), user.uid, user.uid) != 0) throw std::runtime_error("chown");
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A place for directories that no private temporary directory covers.
inline std::string public_place() {
  if (::geteuid() == 0) return "/var/lib";
  const char* home = std::getenv("HOME");
  return home != nullptr ? home : "/var/lib";
}

inline void write_text(const std::string& path, const std::string& text, User user) {
  std::ofstream(path) << text;
  if (::chown(path.c_str(), user.uid, user.uid) != 0) throw std::runtime_error("chown " + path);
}

inline void make_directory(const std::string& path, User user) {
  std::filesystem::create_directories(path);
  if (::chown(path.c_str(), user.uid, user.uid) != 0) throw std::runtime_error("chown " + path);
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What every program needs to start at all.
inline SandboxPlan system_plan() {
  SandboxPlan plan;
  for (const char* path : {"/usr", "/etc", "/opt"}) {
    if (std::filesystem::exists(path)) plan.grants.push_back({path, true, false, true});
  }
  for (const char* path : {"/lib", "/lib64", "/bin"}) {  // on systems without a merged /usr
    if (std::filesystem::is_directory(std::filesystem::symlink_status(path))) {
      plan.grants.push_back({path, true, false, true});
    }
  }
  plan.env = {"PATH=/usr/bin:/bin", "HOME=/nonexistent"};
  plan.cwd = "/";
  return plan;
}

inline SandboxPlan shell(const std::string& script) {
  SandboxPlan plan = system_plan();
  plan.executable = std::filesystem::canonical("/bin/sh").string();
  plan.argv = {"sh", "-c", script};
  return plan;
}

inline SandboxPlan probe(std::function<int()> function) {
  SandboxPlan plan = system_plan();
  plan.probe = std::move(function);
  return plan;
}

struct Outcome {
  bool ok = false;  // wait() gave a status
  ErrorCode error_code = ErrorCode::internal;
  int code = -1;
  bool signalled = false;
  std::string problem;
  std::string error;  // of start(), go() or wait()
  std::string fix;
  std::string out;  // what the command wrote, standard error too
};

// Runs in P once the sandbox was started; calls go() itself if it wants something before or after.
using Drive = std::function<Result<ExitStatus>(SandboxChannel&)>;
// Runs in P before that.
using Begin = std::function<Ahead()>;

inline Ahead nothing_ahead() {
  return {};
}

inline Result<ExitStatus> go_and_wait(SandboxChannel& channel) {
  Result<void> gone = channel.go();
  if (!gone) return fail(gone.error());
  return channel.wait();
}

inline void write_all(int fd, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    ssize_t size = ::write(fd, text.data() + done, text.size() - done);
    if (size <= 0) return;
    done += static_cast<std::size_t>(size);
  }
}

inline std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> block;
  for (;;) {
    ssize_t size = ::read(fd, block.data(), block.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(block.data(), static_cast<std::size_t>(size));
  }
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    read = UniqueFd(ends[0]);
    write = UniqueFd(ends[1]);
  }
  UniqueFd read;
  UniqueFd write;
};

// The whole life of P, in an already forked process; never returns.
[[noreturn]] inline void be_parent(const SandboxPlan& plan, User user, const Drive& drive,
                                   int result, const Begin& begin = nothing_ahead) {
  std::string text;
  if (!become(user)) ::_exit(99);
  Result<std::unique_ptr<SandboxChannel>> channel = start(plan, begin());
  Result<ExitStatus> status =
      channel ? drive(**channel) : Result<ExitStatus>(tl::unexpected<Error>(channel.error()));
  if (status) {
    text = "status\n" + std::to_string(status->code) + "\n" + (status->signalled ? "1" : "0") +
           "\n" + (status->out_of_memory ? "out of memory" : status->problem);
  } else {
    std::string what = status.error().what;
    text = "error\n" + std::to_string(static_cast<int>(status.error().code)) + "\n" + what + "\n" +
           status.error().fix;
  }
  write_all(result, text);
  ::_exit(0);
}

inline void parse(const std::string& text, Outcome& outcome) {
  std::istringstream lines(text);
  std::string kind;
  std::string first;
  std::string second;
  std::getline(lines, kind);
  std::getline(lines, first);
  std::getline(lines, second);
  std::string rest((std::istreambuf_iterator<char>(lines)), std::istreambuf_iterator<char>());
  if (kind == "status") {
    outcome.ok = true;
    outcome.code = std::stoi(first);
    outcome.signalled = second == "1";
    outcome.problem = rest;
  } else if (kind == "error") {
    outcome.error_code = static_cast<ErrorCode>(std::stoi(first));
    outcome.error = second;
    outcome.fix = rest;
  } else {
    outcome.error = "P ended without a result";
  }
}

// Runs the plan to its end. Standard input is empty.
inline Outcome run(const SandboxPlan& plan, User user, const Drive& drive = go_and_wait,
                   const Begin& begin = nothing_ahead) {
  Pipe output;
  Pipe result;
  pid_t parent = ::fork();
  if (parent == 0) {
    UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ::dup2(null.get(), 0);
    ::dup2(output.write.get(), 1);
    ::dup2(output.write.get(), 2);
    output = {};
    be_parent(plan, user, drive, result.write.get(), begin);
  }
  output.write.reset();
  result.write.reset();
  Outcome outcome;
  outcome.out = read_all(output.read.get());
  parse(read_all(result.read.get()), outcome);
  ::waitpid(parent, nullptr, 0);
  INFO(outcome.out);
  return outcome;
}

inline std::string describe(const Outcome& outcome) {
  return "code " + std::to_string(outcome.code) + " error '" + outcome.error + "' fix '" +
         outcome.fix + "' problem '" + outcome.problem + "' output:\n" + outcome.out;
}

// Waits for what the kernel does on its own time, bounded.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// True where this machine can make the sandbox at all; says so once if not.
inline bool can_sandbox(User user) {
  Outcome outcome = run(probe([] { return 0; }), user);
  if (outcome.ok && outcome.code == 0) return true;
  WARN("skipped by name: sandbox for uid " << user.uid << ": " << outcome.error);
  return false;
}

}  // namespace nono::sandbox::test
