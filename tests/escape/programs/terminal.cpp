// Typing into the terminal of whoever started the program. Each attempt types its name.

#include <fcntl.h>
#include <linux/tiocl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

Outcome type(int terminal, unsigned long request, const std::string& text) {
  for (const char& letter : text + "\n") {
    if (::syscall(SYS_ioctl, terminal, request, &letter) != 0) return blocked("ioctl");
  }
  return reached("typed");
}

Outcome types(const Attempt& attempt) {
  return type(0, TIOCSTI, attempt.message);
}

// The kernel looks at the low 32 bits of the request alone.
Outcome types_with_junk(const Attempt& attempt) {
  constexpr unsigned long high_bits = 0xdeadbeefUL << 32;
  return type(0, high_bits | TIOCSTI, attempt.message);
}

Outcome types_by_name(const Attempt& attempt) {
  const UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (!terminal) return blocked("open /dev/tty");
  return type(terminal.get(), TIOCSTI, attempt.message);
}

Outcome pastes(const Attempt& /*attempt*/) {
  char request[] = {TIOCL_PASTESEL};
  return ::ioctl(0, TIOCLINUX, request) == 0 ? reached("pasted") : blocked("TIOCLINUX");
}

Outcome takes_console(const Attempt& /*attempt*/) {
  return ::ioctl(0, TIOCCONS, nullptr) == 0 ? reached("console") : blocked("TIOCCONS");
}

// To what it is already: a real change would throw away what the others typed.
Outcome changes_discipline(const Attempt& /*attempt*/) {
  const int usual = 0;
  return ::ioctl(0, TIOCSETD, &usual) == 0 ? reached("changed") : blocked("TIOCSETD");
}

}  // namespace

Family terminal_family() {
  constexpr const char* needs = "TIOCSTI (dev.tty.legacy_tiocsti)";
  return {
      {"tiocsti", Proof::hit, types, needs},
      {"tiocsti-junk", Proof::hit, types_with_junk, needs},
      {"tiocsti-by-name", Proof::hit, types_by_name, needs},
      {"tioclinux", Proof::word, pastes, "a terminal that is a console"},
      {"tioccons", Proof::word, takes_console, "an administrator's rights"},
      {"tiocsetd", Proof::word, changes_discipline, "line disciplines"},
  };
}

}  // namespace escape
