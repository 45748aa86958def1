#pragma once
// A terminal of the command's own. The user's is a way out: what is typed into it (TIOCSTI) or read
// from it is another program's. So the command gets a pseudo-terminal that lives in the sandbox,
// and the launcher copies between the two.

#include <sys/types.h>

#include <csignal>
#include <optional>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/stdio_relay.hpp"

namespace nono::sandbox {

// The inner side, for the sandbox's processes.
struct InnerTerminal {
  UniqueFd filesystem;  // a devpts that holds the terminal, to be mounted on /dev/pts
  UniqueFd slave;       // the terminal itself
  // True where the command reads the terminal from the start. Otherwise it is in the background of
  // its terminal until it asks for input, so that others of a pipeline (a pager) have the keys.
  bool foreground = false;
  int events = -1;  // to the launcher (JobPipe); borrowed
};

// The user's terminal, as the launcher uses it. The descriptors are its own, so that not to block
// is a property of them alone.
struct OuterTerminal {
  UniqueFd in;
  UniqueFd out;
};

struct Terminal {
  InnerTerminal inner;
  OuterTerminal outer;
  UniqueFd master;
};

// For a process whose standard input, output or error is a terminal; none where none is. It has the
// size and the settings of the user's. Needs CAP_SYS_ADMIN in a user namespace of its own.
tl::expected<std::optional<OuterTerminal>, Failure> open_outer_terminal();
tl::expected<Terminal, Failure> make_terminal(OuterTerminal outer);

// The terminal in place of each standard descriptor that is one.
Done put_on_stdio(const InnerTerminal& terminal, StdioPlan& stdio);

// What the user's terminal sends to the launcher's process group, and the launcher to pid 1, for
// the command: it is in another group.
inline constexpr int terminal_signals[] = {SIGINT, SIGQUIT, SIGTSTP, SIGHUP, SIGCONT};

// In pid 1: begins a session that has this terminal.
Done lead_session(const InnerTerminal& terminal);
// In the command's process: a process group of its own, in the foreground if so wanted. Signals
// that a terminal sends must be blocked.
Done join_terminal(const InnerTerminal& terminal);
// In pid 1: lets the command's group read the terminal.
void give_foreground(const InnerTerminal& terminal, pid_t group);

}  // namespace nono::sandbox
