#include "sandbox/linux/self_escapes.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "config/base/fd.hpp"
#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

constexpr int protocol_mptcp = 262;
constexpr int netlink_generic = 16;

constexpr const char* advice =
    "this kernel does not hold what nono relies on: do not run untrusted programs here, and report "
    "it";

// An attempt that must fail: `result` as a system call returns it.
CheckResult must_fail(std::string name, long result) {
  if (result < 0) return {std::move(name), true, std::strerror(errno), {}};
  return {std::move(name), false, "it succeeded", advice};
}

template <class Address>
int connect_to(const UniqueFd& socket, const Address& address) {
  if (!socket) return -1;
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

template <class Address>
ssize_t send_to(const UniqueFd& socket, const Address& address, int flags) {
  if (!socket) return -1;
  return ::sendto(socket.get(), "x", 1, flags, reinterpret_cast<const sockaddr*>(&address),
                  sizeof address);
}

UniqueFd open_socket(int family, int type, int protocol) {
  return UniqueFd(::socket(family, type | SOCK_CLOEXEC, protocol));
}

sockaddr_in on_loopback(std::uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connect_unix(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return connect_to(open_socket(AF_UNIX, SOCK_STREAM, 0), address);
}

int connect_vsock() {
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_HOST;
  address.svm_port = 1;
  return connect_to(open_socket(AF_VSOCK, SOCK_STREAM, 0), address);
}

// Only making them counts: what a packet socket could do needs no proof.
long make_raw() {
  UniqueFd raw = open_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  UniqueFd packet = open_socket(AF_PACKET, SOCK_RAW, 0);
  return raw || packet ? 0 : -1;
}

void add_network(std::vector<CheckResult>& results, const EscapeTargets& targets) {
  sockaddr_in tcp = on_loopback(targets.tcp_port);
  sockaddr_in udp = on_loopback(targets.udp_port);
  results.push_back(must_fail("a TCP connection past the proxy is refused",
                              connect_to(open_socket(AF_INET, SOCK_STREAM, 0), tcp)));
  results.push_back(must_fail("a multipath TCP connection is refused",
                              connect_to(open_socket(AF_INET, SOCK_STREAM, protocol_mptcp), tcp)));
  // These two may succeed inside; that nothing arrives outside is checked there.
  send_to(open_socket(AF_INET, SOCK_STREAM, 0), tcp, MSG_FASTOPEN | MSG_NOSIGNAL);
  send_to(open_socket(AF_INET, SOCK_DGRAM, 0), udp, 0);
  results.push_back(must_fail("raw and packet sockets are refused", make_raw()));
  results.push_back(must_fail("sockets to the hypervisor (VSOCK) are refused", connect_vsock()));
  results.push_back(must_fail("the kernel's configuration sockets (netlink) are refused",
                              open_socket(AF_NETLINK, SOCK_RAW, netlink_generic) ? 0 : -1));
  results.push_back(
      must_fail("the host's Unix sockets are refused", connect_unix(targets.unix_socket)));

  bool reached =
      connect_to(open_socket(AF_INET, SOCK_STREAM, 0), on_loopback(targets.proxy_port)) == 0;
  results.push_back({"the proxy can be reached", reached,
                     reached ? "connected" : std::strerror(errno), reached ? "" : advice});
}

void add_files(std::vector<CheckResult>& results, const EscapeTargets& targets) {
  const char* readable = targets.readable_file.c_str();
  UniqueFd granted(::open(readable, O_RDONLY | O_CLOEXEC));
  results.push_back({"a granted file can be read", granted.valid(),
                     granted ? "opened" : std::strerror(errno), granted ? "" : advice});
  results.push_back(must_fail("a file that is not granted cannot be read",
                              ::open(targets.ungranted_file.c_str(), O_RDONLY | O_CLOEXEC)));
  results.push_back(must_fail("a file granted for reading cannot be written",
                              ::open(readable, O_WRONLY | O_CLOEXEC)));
  if (targets.mounts) {
    results.push_back(
        must_fail("nor can its permissions be changed", ::chmod(readable, S_IRUSR | S_IWUSR)));
  }
  results.push_back(must_fail("kernel settings cannot be written",
                              ::open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC)));
  if (!targets.mounts) return;  // they go where TMPDIR says
  UniqueFd temporary(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  results.push_back({"temporary files can be made, privately", temporary.valid(),
                     temporary ? "made" : std::strerror(errno), temporary ? "" : advice});
}

#if defined(__x86_64__)
// getpid by the 32-bit table, which numbers system calls otherwise. In a child, since a kernel
// without that table answers with a fault.
long call_32_bit() {
  pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);
    long result = 20;
    asm volatile("int $0x80" : "+a"(result) : : "memory", "cc", "r8", "r9", "r10", "r11");
    ::_exit(static_cast<int>(result) > 0 ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  errno = ENOSYS;
  return WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 0 : -1;
}
#endif

void add_kernel(std::vector<CheckResult>& results) {
  results.push_back(
      must_fail("io_uring is refused",
                ::syscall(uapi::sys_io_uring_setup, 1, nullptr) < 0 && errno == ENOSYS ? -1 : 0));
  constexpr int get_keyring_id = 0;
  constexpr int session_keyring = -3;
  results.push_back(must_fail("the user's kernel keyrings are refused",
                              ::syscall(SYS_keyctl, get_keyring_id, session_keyring, 0)));
  results.push_back(must_fail("new namespaces are refused", ::unshare(CLONE_NEWUSER)));
#if defined(__x86_64__)
  results.push_back(must_fail("32-bit system calls are refused", call_32_bit()));
#endif
  char key = ' ';
  long typed = ::ioctl(0, TIOCSTI, &key);
  results.push_back(
      must_fail("nothing can be typed into the terminal", typed < 0 && errno == EPERM ? -1 : 0));
}

void add_processes(std::vector<CheckResult>& results, const EscapeTargets& targets) {
  results.push_back(must_fail("the process above cannot be traced",
                              ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr)));
  results.push_back(
      must_fail("nor its memory be read", ::open("/proc/1/mem", O_RDONLY | O_CLOEXEC)));
  // An ordinary user without a namespace of its own cannot empty the bounding set; no_new_privs
  // makes it meaningless.
  bool none = targets.mounts
                  ? has_no_capabilities()
                  : holds_no_capability() && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  results.push_back({"no privilege is left", none, none ? "no capability" : "a capability is left",
                     none ? "" : advice});
}

}  // namespace

std::vector<CheckResult> try_escapes(const EscapeTargets& targets) {
  std::vector<CheckResult> results;
  add_files(results, targets);
  add_network(results, targets);
  add_kernel(results);
  add_processes(results, targets);
  return results;
}

}  // namespace nono::sandbox
