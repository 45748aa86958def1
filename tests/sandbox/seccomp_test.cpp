// The system call filter, run in user space over (architecture, number, arguments).

#include "sandbox/linux/seccomp.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>

#include "sandbox/linux/bpf.hpp"
#include "sandbox/linux/uapi.hpp"
#include "tests/sandbox/bpf_interpreter.hpp"

using namespace nono::sandbox;
using nono::sandbox::test::interpret;

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t native = AUDIT_ARCH_AARCH64;
#endif
constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint64_t junk = 0xdeadbeef00000000;

using Arguments = std::array<std::uint64_t, 6>;

std::uint32_t ask_on(std::uint32_t architecture, long number, Arguments arguments = {},
                     FilterOptions options = {}) {
  static const std::vector<sock_filter> closed = build_filter({});
  static const std::vector<sock_filter> open = build_filter({.free_internet_sockets = true});
  seccomp_data data = {};
  data.arch = architecture;
  data.nr = static_cast<int>(number);
  for (std::size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  return interpret(options.free_internet_sockets ? open : closed, data);
}

std::uint32_t ask(long number, Arguments arguments = {}) {
  return ask_on(native, number, arguments);
}

std::uint32_t error(int value) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(value);
}

std::uint32_t make_socket(std::uint64_t family, std::uint64_t type, std::uint64_t protocol) {
  return ask(SYS_socket, {family, type, protocol});
}

}  // namespace

TEST_CASE("the filter fits the kernel's limit and never loops") {
  CHECK(build_filter({}).size() < 400);
}

TEST_CASE("no file can be given the set-uid bit, in whichever way it is made") {
  CHECK(ask(SYS_fchmod, {3, 04755}) == error(EPERM));
  CHECK(ask(SYS_fchmod, {3, junk | 06755}) == error(EPERM));
  CHECK(ask(SYS_fchmod, {3, 02755}) == allow);
  CHECK(ask(SYS_fchmodat, {3, 0, 04755}) == error(EPERM));
  CHECK(ask(SYS_fchmodat, {3, 0, 0755}) == allow);
  CHECK(ask(uapi::sys_fchmodat2, {3, 0, 04755, 0}) == error(EPERM));
  CHECK(ask(SYS_mknodat, {3, 0, S_IFREG | 04755, 0}) == error(EPERM));
  CHECK(ask(SYS_openat, {3, 0, O_CREAT | O_WRONLY, 04755}) == error(EPERM));
  CHECK(ask(SYS_openat, {3, 0, O_TMPFILE | O_WRONLY, 04755}) == error(EPERM));
  CHECK(ask(SYS_openat, {3, 0, O_CREAT | O_WRONLY, 0644}) == allow);
  CHECK(ask(SYS_openat, {3, 0, O_RDONLY | O_DIRECTORY, 04755}) == allow);  // no mode is read
  CHECK(ask(uapi::sys_openat2) == error(ENOSYS));
#if defined(__x86_64__)
  CHECK(ask(SYS_chmod, {0, 04755}) == error(EPERM));
  CHECK(ask(SYS_creat, {0, 04755}) == error(EPERM));
  CHECK(ask(SYS_mknod, {0, S_IFREG | 04755, 0}) == error(EPERM));
  CHECK(ask(SYS_open, {0, O_CREAT, 04755}) == error(EPERM));
  CHECK(ask(SYS_open, {0, O_RDONLY, 04755}) == allow);
#endif
}

TEST_CASE("calls that ordinary programs make are allowed") {
  for (long number : {SYS_read, SYS_write, SYS_openat, SYS_execve, SYS_mmap, SYS_futex, SYS_getuid,
                      SYS_connect, SYS_bind, SYS_listen, SYS_sendmsg, SYS_ptrace, SYS_prlimit64}) {
    CAPTURE(number);
    CHECK(ask(number) == allow);
  }
}

TEST_CASE("every other call table is answered as if it did not exist") {
  for (long code : {long{AUDIT_ARCH_I386}, long{AUDIT_ARCH_ARM}, long{AUDIT_ARCH_PPC64LE}, 0L}) {
    auto architecture = static_cast<std::uint32_t>(code);
    for (long number = -1; number < 600; ++number) {
      if (ask_on(architecture, number) != error(ENOSYS)) FAIL(architecture << " " << number);
    }
  }
#if defined(__x86_64__)
  // i386's socketcall (102) and connect (362) are harmless numbers in the native table.
  CHECK(ask(SYS_getuid) == allow);
  CHECK(ask_on(AUDIT_ARCH_I386, 102) == error(ENOSYS));
  CHECK(ask_on(AUDIT_ARCH_I386, 362) == error(ENOSYS));
  CHECK(ask_on(AUDIT_ARCH_I386, 11) == error(ENOSYS));
#endif
}

TEST_CASE("x32 numbers and the number -1 are answered as if they did not exist") {
  for (long number : {0x40000000L, 0x40000000L + 41, 0x40000000L + 520, 0x7fffffffL, -1L, -2L}) {
    CAPTURE(number);
    CHECK(ask_on(native, number) == error(ENOSYS));
  }
}

TEST_CASE("calls that a filter cannot look into do not exist") {
  for (long number :
       {425L, 426L, 427L, 435L, long{SYS_bpf}, long{SYS_perf_event_open}, long{SYS_userfaultfd},
        long{SYS_keyctl}, long{SYS_add_key}, long{SYS_request_key}, long{SYS_kcmp}, 440L, 448L}) {
    CAPTURE(number);
    CHECK(ask(number) == error(ENOSYS));
  }
}

TEST_CASE("administrators' calls are refused") {
  for (long number : {long{SYS_mount},
                      long{SYS_umount2},
                      long{SYS_pivot_root},
                      long{SYS_chroot},
                      428L,
                      429L,
                      430L,
                      431L,
                      432L,
                      433L,
                      442L,
                      443L,
                      467L,
                      long{SYS_setns},
                      long{SYS_reboot},
                      long{SYS_swapon},
                      long{SYS_kexec_load},
                      long{SYS_init_module},
                      long{SYS_finit_module},
                      long{SYS_delete_module},
                      long{SYS_open_by_handle_at},
                      long{SYS_name_to_handle_at},
                      long{SYS_fanotify_init},
                      long{SYS_syslog},
                      long{SYS_vhangup},
                      long{SYS_clock_settime},
                      long{SYS_settimeofday},
                      long{SYS_move_pages},
                      long{SYS_migrate_pages},
                      long{SYS_acct},
                      long{SYS_quotactl}}) {
    CAPTURE(number);
    CHECK(ask(number) == error(EPERM));
  }
}

TEST_CASE("no new namespace, whatever the high word of the flags holds") {
  for (std::uint64_t flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC,
                             CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    CAPTURE(flag);
    CHECK(ask(SYS_clone, {flag | SIGCHLD}) == error(EPERM));
    CHECK(ask(SYS_clone, {flag | junk}) == error(EPERM));
    CHECK(ask(SYS_unshare, {flag}) == error(EPERM));
    CHECK(ask(SYS_unshare, {flag | junk}) == error(EPERM));
  }
  CHECK(ask(SYS_unshare, {0x80}) == error(EPERM));
  CHECK(ask(SYS_clone, {SIGCHLD}) == allow);
  CHECK(ask(SYS_clone, {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD}) ==
        allow);
  CHECK(ask(SYS_unshare, {CLONE_FILES}) == allow);
}

TEST_CASE("nothing is typed into a terminal, even with junk in the high word") {
  for (std::uint64_t request : {TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS}) {
    CAPTURE(request);
    CHECK(ask(SYS_ioctl, {0, request}) == error(EPERM));
    CHECK(ask(SYS_ioctl, {0, request | junk}) == error(EPERM));
    CHECK(ask(SYS_ioctl, {junk, request}) == error(EPERM));
  }
  CHECK(ask(SYS_ioctl, {0, TCGETS}) == allow);
  CHECK(ask(SYS_ioctl, {0, TIOCGWINSZ}) == allow);
  CHECK(ask(SYS_ioctl, {TIOCSTI, 0}) == allow);
}

TEST_CASE("no process group is slowed, since the caller stands in the command's") {
  constexpr std::uint64_t io_process = 1;
  constexpr std::uint64_t io_group = 2;
  CHECK(ask(SYS_setpriority, {PRIO_PGRP, 0, 7}) == error(EPERM));
  CHECK(ask(SYS_setpriority, {PRIO_PGRP | junk, 0, 7}) == error(EPERM));
  CHECK(ask(SYS_setpriority, {PRIO_PROCESS, 0, 7}) == allow);
  CHECK(ask(SYS_ioprio_set, {io_group, 0, 3 << 13}) == error(EPERM));
  CHECK(ask(SYS_ioprio_set, {io_process, 0, 3 << 13}) == allow);
}

TEST_CASE("socket pairs are Unix and connected") {
  CHECK(ask(SYS_socketpair, {AF_UNIX, SOCK_STREAM}) == allow);
  CHECK(ask(SYS_socketpair, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK}) == allow);
  CHECK(ask(SYS_socketpair, {AF_UNIX, SOCK_SEQPACKET}) == allow);
  CHECK(ask(SYS_socketpair, {AF_UNIX | junk, SOCK_DGRAM | junk}) == error(EPERM));
  CHECK(ask(SYS_socketpair, {AF_UNIX, SOCK_DGRAM}) == error(EPERM));
  CHECK(ask(SYS_socketpair, {AF_INET, SOCK_STREAM}) == error(EPERM));
  CHECK(ask(SYS_socketpair, {AF_TIPC, SOCK_SEQPACKET}) == error(EPERM));
}

TEST_CASE("internet sockets are TCP or UDP proper") {
  for (std::uint64_t family : {AF_INET, AF_INET6}) {
    for (std::uint64_t extra :
         {std::uint64_t{0}, std::uint64_t{SOCK_CLOEXEC | SOCK_NONBLOCK}, junk}) {
      CAPTURE(family, extra);
      CHECK(make_socket(family, SOCK_STREAM | extra, 0) == allow);
      CHECK(make_socket(family, SOCK_STREAM | extra, IPPROTO_TCP) == allow);
      CHECK(make_socket(family, SOCK_DGRAM | extra, 0) == allow);
      CHECK(make_socket(family, SOCK_DGRAM | extra, IPPROTO_UDP) == allow);
      CHECK(make_socket(family, SOCK_STREAM | extra, 262 /* MPTCP */) == error(EPROTONOSUPPORT));
      CHECK(make_socket(family, SOCK_STREAM | extra, 256 /* SMC */) == error(EPROTONOSUPPORT));
      CHECK(make_socket(family, SOCK_STREAM | extra, IPPROTO_SCTP) == error(EPROTONOSUPPORT));
      CHECK(make_socket(family, SOCK_STREAM | extra, 262 | junk) == error(EPROTONOSUPPORT));
      CHECK(make_socket(family, SOCK_DGRAM | extra, IPPROTO_UDPLITE) == error(EPERM));
      CHECK(make_socket(family, SOCK_DGRAM | extra, IPPROTO_ICMP) == error(EPERM));
      CHECK(make_socket(family, SOCK_RAW | extra, IPPROTO_RAW) == error(EPERM));
      CHECK(make_socket(family, SOCK_RAW | extra, IPPROTO_TCP) == error(EPERM));
      CHECK(make_socket(family, SOCK_SEQPACKET | extra, 0) == error(EPERM));
      CHECK(make_socket(family, SOCK_DCCP | extra, 0) == error(EPERM));
      CHECK(make_socket(family, SOCK_PACKET | extra, 0) == error(EPERM));
    }
  }
}

TEST_CASE(
    "of netlink only routes can be asked, of Unix sockets nothing, other families do not exist") {
  CHECK(make_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) == allow);
  for (std::uint64_t protocol : {4, 12, 15, 16, 20}) {
    CHECK(make_socket(AF_NETLINK, SOCK_RAW, protocol) == error(EPERM));
  }
  for (std::uint64_t type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    CHECK(make_socket(AF_UNIX, type, 0) == error(EPERM));
    CHECK(make_socket(AF_UNIX | junk, type, 0) == error(EPERM));
  }
  for (std::uint64_t family = 0; family < 64; ++family) {
    bool known =
        family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
    if (known) continue;
    CAPTURE(family);
    CHECK(make_socket(family, SOCK_STREAM, 0) == error(EAFNOSUPPORT));
    CHECK(make_socket(family, SOCK_RAW, 0) == error(EAFNOSUPPORT));
  }
}

TEST_CASE("an open network frees internet sockets and nothing else") {
  FilterOptions open = {.free_internet_sockets = true};
  CHECK(ask_on(native, SYS_socket, {AF_INET, SOCK_STREAM, 262}, open) == allow);
  CHECK(ask_on(native, SYS_socket, {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6}, open) == allow);
  CHECK(ask_on(native, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, open) == error(EPERM));
  CHECK(ask_on(native, SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}, open) == error(EAFNOSUPPORT));
  CHECK(ask_on(native, SYS_socket, {AF_NETLINK, SOCK_RAW, 16}, open) == error(EPERM));
  CHECK(ask_on(native, SYS_socketpair, {AF_UNIX, SOCK_DGRAM}, open) == error(EPERM));
  CHECK(ask_on(native, uapi::sys_io_uring_setup, {}, open) == error(ENOSYS));
  CHECK(ask_on(AUDIT_ARCH_I386, 102, {}, open) == error(ENOSYS));
  CHECK(ask_on(native, SYS_ioctl, {0, TIOCSTI}, open) == error(EPERM));
}

TEST_CASE("a table gives each value its action and lets every other pass") {
  for (std::uint32_t count = 0; count < 60; ++count) {
    BpfAssembler code;
    std::vector<BpfAssembler::Case> cases;
    for (std::uint32_t i = count; i > 0; --i) cases.push_back({i * 3, error(static_cast<int>(i))});
    code.load_number();
    code.give_by_value(std::move(cases));
    code.give(allow);
    std::vector<sock_filter> filter = code.take();
    for (std::uint32_t value = 0; value < 200; ++value) {
      seccomp_data data = {};
      data.nr = static_cast<int>(value);
      bool listed = value != 0 && value % 3 == 0 && value / 3 <= count;
      std::uint32_t expected = listed ? error(static_cast<int>(value / 3)) : allow;
      if (interpret(filter, data) != expected) FAIL(count << " " << value);
    }
  }
}

TEST_CASE("a block that is too long to jump over is refused when assembling") {
  BpfAssembler code;
  CHECK_THROWS(code.when_one_of({1}, [&] {
    for (int i = 0; i < 200; ++i) code.give_if_equal(7, allow);
  }));
}
