#include "tests/escape/programs/victim.hpp"

#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

void say(const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(1, whole.data(), whole.size()) < 0) ::_exit(1);
}

void report_signal(int number) {
  for (const SignalName& known : signal_names) {
    if (SIGRTMIN + known.offset != number) continue;
    char line[64] = "HIT ";
    std::strncat(line, known.name, sizeof line - 8);
    std::strcat(line, "\n");
    if (::write(1, line, std::strlen(line)) < 0) ::_exit(1);
  }
}

void make_segment(const std::string& secret) {
  const int id = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  if (id < 0) return;
  void* memory = ::shmat(id, nullptr, 0);
  secret.copy(static_cast<char*>(memory), secret.size());
  say("segment=" + std::to_string(id));
}

void make_queue(const std::string& secret) {
  const int id = ::msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  if (id < 0) return;
  struct {
    long type;
    char text[256];
  } message = {1, {}};
  secret.copy(message.text, sizeof message.text - 1);
  ::msgsnd(id, &message, secret.size() + 1, 0);
  say("queue=" + std::to_string(id));
}

void make_posix_queue(const std::string& name, const std::string& secret) {
  mq_attr attributes = {};
  attributes.mq_maxmsg = 4;
  attributes.mq_msgsize = 8192;
  const mqd_t queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  if (queue >= 0) ::mq_send(queue, secret.c_str(), secret.size() + 1, 1);
}

// A child in namespaces of its own, which its user may enter.
void make_namespaced() {
  int ready[2] = {-1, -1};
  if (::pipe(ready) != 0) return;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool apart = ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    if (::write(ready[1], apart ? "y" : "n", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char answer = 'n';
  if (::read(ready[0], &answer, 1) == 1) say("namespaced=" + std::to_string(child));
}

}  // namespace

void report_signals() {
  for (const SignalName& known : signal_names) {
    struct sigaction action = {};
    action.sa_handler = report_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGRTMIN + known.offset, &action, nullptr);
  }
}

// What System V objects it made, it removes when its standard input ends.
int be_victim(const Settings& where) {
  ::prctl(PR_SET_DUMPABLE, 1);
  report_signals();
  const std::string& secret = where.text("secret");
  if (::chdir(where.text("outside").c_str()) != 0) return 1;
  const int file = ::open("secret", O_RDONLY);
  static char in_memory[128];
  secret.copy(in_memory, sizeof in_memory - 1);
  make_segment(secret);
  make_queue(secret);
  make_posix_queue(where.text("posix-queue"), secret);
  make_namespaced();
  char address[32];
  ::snprintf(address, sizeof address, "%lx", reinterpret_cast<unsigned long>(in_memory));
  say("address=" + std::string(address));
  say("descriptor=" + std::to_string(file));
  say("victim=" + std::to_string(::getpid()));
  for (;;) ::pause();
}

// Ignores what could end it, and ends by itself after a while all the same.
int be_orphan(const Settings& /*where*/) {
  for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGPIPE}) std::signal(number, SIG_IGN);
  ::alarm(60);
  for (;;) ::pause();
}

}  // namespace escape
