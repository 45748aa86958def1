#include "tests/support/process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace nono::testing {
namespace {

UniqueFd memory_file(const char* name) {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) throw std::runtime_error("memfd_create failed");
  return file;
}

UniqueFd input_file(const std::string& text) {
  if (text.empty()) return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  UniqueFd file = memory_file("stdin");
  if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("cannot write stdin");
  }
  return file;
}

std::string whole(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return {};
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

bool become(uid_t user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
         ::setresuid(user, user, user) == 0;
}

[[noreturn]] void fail_in_child(const char* what) {
  ::dprintf(2, "test process: %s: %s\n", what, ::strerror(errno));
  ::_exit(121);
}

// Between fork and exec; the test is single-threaded, so ordinary calls are safe.
[[noreturn]] void become_command(const Command& command, char* const* argv, char* const* env,
                                 const int (&stdio)[3]) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int target = 0; target < 3; ++target) {
    if (::dup2(stdio[target], target) < 0) fail_in_child("dup2");
  }
  if (command.user && !become(*command.user)) fail_in_child("setuid");
  if (!command.cwd.empty() && ::chdir(command.cwd.c_str()) != 0) fail_in_child("chdir");
  if (command.user) ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // setuid cleared it
  ::execvpe(argv[0], argv, env);
  fail_in_child(argv[0]);
}

int as_shell_says(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Process::Process(const Command& command)
    : out_(memory_file("stdout")), err_(memory_file("stderr")) {
  std::vector<std::string> argv = command.argv;
  std::vector<std::string> env;
  for (const auto& [name, value] : command.env) env.push_back(name + "=" + value);
  const std::vector<char*> argv_pointers = pointers(argv);
  const std::vector<char*> env_pointers = pointers(env);
  const UniqueFd input = input_file(command.input);
  const int stdio[3] = {input.get(), out_.get(), err_.get()};
  pid_ = ::fork();
  if (pid_ == 0) become_command(command, argv_pointers.data(), env_pointers.data(), stdio);
  if (pid_ < 0) throw std::runtime_error("fork failed");
  ::setpgid(pid_, pid_);  // also here, so that a kill soon after finds the group
  pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
}

Process::~Process() {
  ::kill(-pid_, SIGKILL);
  if (!status_) {
    int status = 0;
    ::waitpid(pid_, &status, 0);
  }
}

std::string Process::out() const {
  return whole(out_.get());
}
std::string Process::err() const {
  return whole(err_.get());
}

bool Process::running() const {
  if (status_) return false;
  pollfd ready{pidfd_.get(), POLLIN, 0};
  return ::poll(&ready, 1, 0) == 0;
}

void Process::signal(int number) const {
  ::kill(pid_, number);
}

Finished Process::wait(std::chrono::milliseconds at_most) {
  Finished finished;
  if (!status_) {
    pollfd ready{pidfd_.get(), POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(at_most.count())) != 1) {
      finished.timed_out = true;
      ::kill(-pid_, SIGKILL);
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    status_ = status;
  }
  finished.code = as_shell_says(*status_);
  finished.out = out();
  finished.err = err();
  return finished;
}

bool Process::wait_for(std::string_view text, std::chrono::milliseconds at_most) const {
  const auto seen = [&] {
    return out().find(text) != std::string::npos || err().find(text) != std::string::npos;
  };
  eventually([&] { return seen() || !running(); }, at_most);
  return seen();
}

Finished run(const Command& command, std::chrono::milliseconds at_most) {
  return Process(command).wait(at_most);
}

std::map<std::string, std::string> plain_environment(const std::string& home) {
  return {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
          {"HOME", home},
          {"LANG", "C.UTF-8"},
          {"ASAN_OPTIONS", "detect_leaks=0"}};
}

void pause_between_polls() {
  ::poll(nullptr, 0, 5);
}

}  // namespace nono::testing
