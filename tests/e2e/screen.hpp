#pragma once
// A terminal for a test to type on and to look at.

#include <fcntl.h>
#include <grp.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/stage.hpp"

namespace nono::testing {

// A terminal with a process that leads its session. The test holds both sides, so that settings can
// be looked at after the end.
class Screen {
 public:
  explicit Screen(const Command& command) {
    int master = -1;
    int slave = -1;
    winsize size = {24, 80, 0, 0};
    REQUIRE(::openpty(&master, &slave, nullptr, nullptr, &size) == 0);
    master_ = UniqueFd(master);
    slave_ = UniqueFd(slave);
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave, F_SETFD, FD_CLOEXEC);
    ::fcntl(master, F_SETFL, O_NONBLOCK);
    REQUIRE(::tcgetattr(slave, &before_) == 0);
    pid_ = ::fork();
    if (pid_ == 0) become(command, slave);
  }
  ~Screen() {
    if (pid_ > 0) {
      ::kill(-pid_, SIGKILL);
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // True once `text` was shown after what the last call found.
  bool shows(const std::string& text, std::chrono::milliseconds at_most = 20s) {
    return eventually(
        [&] {
          read();
          std::size_t at = shown_.find(text, seen_);
          if (at != std::string::npos) seen_ = at + text.size();
          return at != std::string::npos;
        },
        at_most);
  }

  // Whether another job than the leader's has the terminal, and is not stopped.
  bool runs_a_job() const {
    const pid_t job = ::tcgetpgrp(master_.get());
    if (job <= 0 || job == pid_) return false;
    const std::string stat = read_file("/proc/" + std::to_string(job) + "/stat");
    const std::size_t name_end = stat.rfind(") ");
    return name_end != std::string::npos && stat[name_end + 2] != 'T';
  }

  // All of it, while what comes back is read as well.
  void type(std::string_view text) {
    while (!text.empty()) {
      ssize_t size = ::write(master_.get(), text.data(), std::min<std::size_t>(text.size(), 4096));
      if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
      if (size < 0) pause_between_polls();
      read();
    }
  }

  // How the leader ended, as a shell says it; -1 when the time is over.
  int end() {
    int status = 0;
    bool ended = eventually([&] {
      read();
      return ::waitpid(pid_, &status, WNOHANG) == pid_;
    });
    if (!ended) return -1;
    pid_ = -1;
    read();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  termios settings() const {
    termios now = {};
    ::tcgetattr(slave_.get(), &now);
    return now;
  }
  bool is_raw() const { return (settings().c_lflag & (ICANON | ECHO | ISIG)) == 0; }
  bool is_as_before() const {
    termios now = settings();
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag &&
           now.c_oflag == before_.c_oflag && now.c_cflag == before_.c_cflag;
  }
  void resize(unsigned short rows, unsigned short columns) const {
    winsize size = {rows, columns, 0, 0};
    ::ioctl(master_.get(), TIOCSWINSZ, &size);
  }
  void hang_up() {
    slave_.reset();
    master_.reset();
  }
  const std::string& shown() const { return shown_; }
  pid_t leader() const { return pid_; }

 private:
  [[noreturn]] static void become(const Command& command, int slave) {
    ::setsid();
    ::ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; ++fd) ::dup2(slave, fd);
    if (command.user && (::setgroups(0, nullptr) != 0 || ::setgid(*command.user) != 0 ||
                         ::setuid(*command.user) != 0)) {
      ::_exit(99);
    }
    if (::chdir(command.cwd.empty() ? "/" : command.cwd.c_str()) != 0) ::_exit(99);
    std::vector<std::string> variables;
    for (const auto& [name, value] : command.env) variables.push_back(name + "=" + value);
    std::vector<char*> env;
    for (std::string& variable : variables) env.push_back(variable.data());
    env.push_back(nullptr);
    std::vector<std::string> words = command.argv;
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execvpe(argv[0], argv.data(), env.data());
    ::_exit(98);
  }

  void read() {
    char block[65536];
    for (;;) {
      ssize_t size = ::read(master_.get(), block, sizeof block);
      if (size <= 0) return;
      shown_.append(block, static_cast<std::size_t>(size));
    }
  }

  UniqueFd master_, slave_;
  pid_t pid_ = -1;
  termios before_ = {};
  std::string shown_;
  std::size_t seen_ = 0;
};

// An interactive shell outside, to which commands are typed.
inline Command outer_shell(const Stage& stage) {
  Command command = stage.nono({});
  command.env["NONO"] = command.argv[0];
  command.env["PS1"] = "ready> ";
  command.env["TERM"] = "dumb";
  command.argv = {"bash", "--norc", "--noprofile", "--noediting", "-i"};
  return command;
}

}  // namespace nono::testing
