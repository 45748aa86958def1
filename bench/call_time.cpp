// What system calls cost: three of them, in nanoseconds each, as a JSON object. Run bare and in the
// sandbox, the difference is the filter's. Usage: bench_call_time

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int samples = 40;
constexpr int calls_per_sample = 5000;

// The lower quartile of many short samples: what a moment without other work costs.
template <class Call>
double nanoseconds(Call call) {
  std::vector<double> found;
  for (int sample = 0; sample < samples; ++sample) {
    const auto start = std::chrono::steady_clock::now();
    for (int at = 0; at < calls_per_sample; ++at) call();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    found.push_back(took.count() / calls_per_sample);
  }
  std::sort(found.begin(), found.end());
  return found[samples / 4];
}

void ask_parent() {
  ::syscall(SYS_getppid);
}

// In no directory that Landlock would have to judge: the name is not there.
void open_missing() {
  if (::openat(AT_FDCWD, "/proc/self/none", O_RDONLY | O_CLOEXEC) >= 0) std::exit(1);
}

void make_socket() {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made < 0 || ::close(made) != 0) std::exit(1);
}

}  // namespace

int main() {
  const double plain = nanoseconds(ask_parent);
  const double open = nanoseconds(open_missing);
  const double socket = nanoseconds(make_socket);
  std::printf(
      "{\"getppid\": %.1f, \"openat of what is not there\": %.1f, \"socket and close\": %.1f}\n",
      plain, open, socket);
  return 0;
}
