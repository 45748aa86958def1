#pragma once
// What the victim and those who attack it agree on.

#include <csignal>

namespace escape {

// Each way of signalling has a signal of its own, so that the victim can tell which one arrived.
struct SignalName {
  int offset;  // from SIGRTMIN
  const char* name;
};
inline constexpr SignalName signal_names[] = {
    {1, "kill"},  {2, "tgkill"},     {3, "sigqueue"},           {4, "pidfd-signal"},
    {5, "sigio"}, {6, "kill-group"}, {7, "kill-process-group"},
};

inline int signal_of(const char* name) {
  for (const SignalName& known : signal_names) {
    if (__builtin_strcmp(known.name, name) == 0) return SIGRTMIN + known.offset;
  }
  return 0;
}

// ioprio_set(2), whose header cannot be read as C++.
inline constexpr int ioprio_who_process = 1;
inline constexpr int ioprio_who_group = 2;
inline constexpr int ioprio_idle = 3 << 13;

// From here on, each such signal that arrives is written to standard output as "HIT name".
void report_signals();

}  // namespace escape
