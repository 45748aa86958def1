// Sets something up that a command inherits, runs the command, and looks afterwards: what arrived
// is written as "HIT name". Words: KIND KEY=VALUE... -- COMMAND...

#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "tests/escape/programs/escape.hpp"
#include "tests/escape/programs/victim.hpp"

namespace escape {
namespace {

using Words = std::vector<std::string>;

void say(const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(1, whole.data(), whole.size()) < 0) ::_exit(1);
}

[[noreturn]] void become(const Words& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  say("wrap: cannot execute " + command[0] + ": " + std::strerror(errno));
  ::_exit(121);
}

int code_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t start(const Words& command) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  become(command);
}

// Stands in the command's process group, as the launcher of a sandbox does.
int watch_group(const Words& command) {
  report_signals();
  const pid_t child = start(command);
  const int code = code_of(child);
  if (::getpriority(PRIO_PROCESS, 0) == 7) say("HIT renice-group");
  if (::syscall(SYS_ioprio_get, ioprio_who_process, 0) == ioprio_idle) say("HIT ionice-group");
  return code;
}

// A session with a key in it.
int hold_key(const Settings& where, const Words& command) {
  ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  const std::string& secret = where.text("secret");
  ::syscall(SYS_add_key, "user", where.text("key").c_str(), secret.data(), secret.size(),
            KEY_SPEC_SESSION_KEYRING);
  const int code = code_of(start(command));
  if (::syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "nono-planted", 0) >
      0) {
    say("HIT key-planted");
  }
  return code;
}

// Leads the terminal's session, and thereby keeps what was typed until it has been looked at.
[[noreturn]] void lead_session(int terminal, const Words& command) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid();
  ::ioctl(terminal, TIOCSCTTY, 0);
  ::dup2(terminal, 0);
  const int code = code_of(start(command));
  int waiting = 0;
  ::ioctl(terminal, FIONREAD, &waiting);
  std::string text = waiting > 0 ? read_some(terminal) : std::string();
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
    say("HIT " + text.substr(0, end));
    text.erase(0, end + 1);
  }
  ::_exit(code);
}

// A terminal of its own; what was typed into it is read at the end.
int own_terminal(const Words& command) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) return 122;
  const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
  termios raw = {};
  ::tcgetattr(slave, &raw);
  ::cfmakeraw(&raw);
  ::tcsetattr(slave, TCSANOW, &raw);
  const pid_t leader = ::fork();
  if (leader == 0) lead_session(slave, command);
  return code_of(leader);
}

void pass_descriptor(int socket, int fd) {
  std::array<char, CMSG_SPACE(sizeof fd)> control = {};
  char byte = 'x';
  iovec part = {&byte, 1};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(item), &fd, sizeof fd);
  ::sendmsg(socket, &header, 0);
}

// Leaves all kinds of descriptors open, and a socket on standard input with one more in it.
int leak(const Settings& where, const Words& command) {
  const std::string& outside = where.text("outside");
  const int folder = ::open(outside.c_str(), O_RDONLY | O_DIRECTORY);
  const int file = ::openat(folder, "secret", O_RDONLY);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::bind(listener, generic(any), sizeof any);
  ::listen(listener, 1);
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in canary = where.v4("tcp4");
  ::connect(socket, generic(canary), sizeof canary);
  std::array<int, 2> pair = {-1, -1};
  if (file < 0 || ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) return 122;
  pass_descriptor(pair[1], file);
  ::dup2(pair[0], 0);
  become(command);
}

}  // namespace

int wrap(const Words& words) {
  const auto dashes = std::find(words.begin(), words.end(), "--");
  if (words.empty() || dashes == words.end() || dashes + 1 == words.end()) return 2;
  const Settings where(Words(words.begin() + 1, dashes));
  const Words command(dashes + 1, words.end());
  if (words[0] == "group") return watch_group(command);
  if (words[0] == "key") return hold_key(where, command);
  if (words[0] == "terminal") return own_terminal(command);
  if (words[0] == "leak") return leak(where, command);
  if (words[0] == "nothing") become(command);
  return 2;
}

}  // namespace escape
