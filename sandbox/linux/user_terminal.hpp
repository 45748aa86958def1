#pragma once
// The parent's view of the user's terminal: what it has to put right when others could not.

#include <termios.h>

namespace nono::sandbox {

// The settings as they were. The launcher has the terminal in raw mode while the command runs, and
// gives it back itself unless it is killed.
class SavedTerminal {
 public:
  SavedTerminal();
  void restore() const;  // where this process is in the foreground

 private:
  int fd_ = -1;
  termios settings_ = {};
};

// The terminal, if this process has its foreground. A shell that is inside the sandbox and yet on
// the user's terminal (notify backend) takes the foreground for a process group of its own, and
// cannot give it back to ours, which it does not see.
class Foreground {
 public:
  Foreground();
  void restore() const;  // takes it back from a process group that has ended, and from no other

 private:
  int terminal_ = -1;
};

// False where a stop by the terminal would be without effect or without end: no shell that watches
// over our process group as one of its jobs (docker run -it, the command of a terminal window).
bool can_be_stopped();

}  // namespace nono::sandbox
