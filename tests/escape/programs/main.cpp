// escape_programs attempt FAMILY KEY=VALUE...   tries every escape of a family, each in a process
// of
//                                               its own, and writes a line of words about it:
//                                               RESULT name proof escaped|blocked needs detail
// escape_programs victim|orphan KEY=VALUE...    what attempts are about
// escape_programs wrap KIND KEY=VALUE... -- COMMAND...
// escape_programs linger KEY=VALUE...           reaches for the canaries until it is killed
// escape_programs flood KIND COUNT              what flood.cpp knows
// escape_programs effective-user                prints it

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>

#include "tests/escape/programs/escape.hpp"
#include "tests/escape/programs/victim.hpp"

namespace escape {
namespace {

struct NamedFamily {
  const char* name;
  Family (*make)();
};
constexpr NamedFamily families[] = {
    {"tcp", tcp_family},         {"udp", udp_family},
    {"sockets", socket_family},  {"netlink", netlink_family},
    {"uring", uring_family},     {"foreign-abi", foreign_abi_family},
    {"unix", unix_family},       {"memory", memory_family},
    {"process", process_family}, {"namespaces", namespace_family},
    {"inbound", inbound_family}, {"terminal", terminal_family},
    {"files", file_family},      {"descriptors", descriptor_family},
    {"races", race_family},
};

constexpr unsigned attempt_seconds_max = 40;

const char* word_of(Proof proof) {
  switch (proof) {
    case Proof::hit:
      return "hit";
    case Proof::read:
      return "read";
    case Proof::state:
      return "state";
    case Proof::word:
      return "word";
  }
  return "";
}

// One line: tabs between the fields, none within.
void say(const Escape& escape, const Outcome& outcome) {
  std::string detail = outcome.detail.substr(0, 2000);
  for (char& letter : detail) {
    if (static_cast<unsigned char>(letter) < ' ') letter = ' ';
  }
  const std::string line = std::string("RESULT\t") + escape.name + "\t" + word_of(escape.proof) +
                           "\t" + (outcome.escaped ? "escaped" : "blocked") + "\t" +
                           (escape.needs == nullptr ? "" : escape.needs) + "\t" + detail + "\n";
  if (::write(1, line.data(), line.size()) < 0) ::_exit(1);
}

Outcome try_it(const Escape& escape, const Settings& where) {
  const Attempt attempt = {where, std::string(escape.name) + " " + where.text("token")};
  errno = 0;
  return escape.run(attempt);
}

// In a process of its own: an attempt may end in a signal, or change itself for good.
void try_apart(const Escape& escape, const Settings& where) {
  const pid_t child = ::fork();
  if (child < 0) return say(escape, blocked("fork"));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(attempt_seconds_max);
    say(escape, try_it(escape, where));
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) {
    say(escape, {false, "ended by signal " + std::to_string(WTERMSIG(status))});
  }
}

int attempt(const std::string& name, const Settings& where) {
  // Meant for the launcher, but this is in the same process group.
  for (const SignalName& known : signal_names) std::signal(SIGRTMIN + known.offset, SIG_IGN);
  for (const NamedFamily& family : families) {
    if (name != family.name) continue;
    for (const Escape& escape : family.make()) try_apart(escape, where);
    return 0;
  }
  return 2;
}

int run(const std::vector<std::string>& words) {
  if (words.empty()) return 2;
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  if (words[0] == "wrap") return wrap(rest);
  if (words[0] == "victim") return be_victim(Settings(rest));
  if (words[0] == "orphan") return be_orphan(Settings(rest));
  if (words[0] == "attempt" && !rest.empty()) return attempt(rest[0], Settings(rest));
  if (words[0] == "linger") return linger(Settings(rest));
  if (words[0] == "flood" && rest.size() > 1) return flood(rest[0], std::stoi(rest[1]));
  if (words[0] == "effective-user") {
    const std::string user = std::to_string(::geteuid());
    return ::write(1, user.data(), user.size()) < 0 ? 1 : 0;
  }
  return 2;
}

}  // namespace
}  // namespace escape

int main(int argc, char** argv) {
  try {
    return escape::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& problem) {
    const std::string line = std::string("escape_programs: ") + problem.what() + "\n";
    (void)!::write(2, line.data(), line.size());
    return 2;
  }
}
