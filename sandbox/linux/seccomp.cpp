#include "sandbox/linux/seccomp.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "sandbox/linux/bpf.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_AARCH64;
#else
#error "the sandbox's system call filter does not know this architecture"
#endif

constexpr std::uint32_t x32_bit = 0x40000000;    // also catches number -1
constexpr std::uint32_t socket_type_mask = 0xf;  // below SOCK_CLOEXEC and SOCK_NONBLOCK
constexpr std::uint32_t namespace_flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET |
                                          CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                                          CLONE_NEWCGROUP;
constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;

constexpr std::uint32_t answer(int error) {
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error) & SECCOMP_RET_DATA);
}

// Answered ENOSYS: callers then take an older way, as they do on an older kernel. clone3, openat2
// and io_uring are here because a filter cannot look through the pointers that they take.
constexpr long absent_calls[] = {
    uapi::sys_io_uring_setup,
    uapi::sys_io_uring_enter,
    uapi::sys_io_uring_register,
    uapi::sys_clone3,
    uapi::sys_openat2,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_kcmp,
    uapi::sys_process_madvise,
    uapi::sys_process_mrelease,
};

// Answered EPERM: what only an administrator does.
constexpr long forbidden_calls[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_acct,
    SYS_quotactl,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_fanotify_init,
    SYS_syslog,
    SYS_vhangup,
    SYS_lookup_dcookie,
    SYS_move_pages,
    SYS_migrate_pages,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_nfsservctl,
    SYS_kexec_file_load,
    uapi::sys_open_tree,
    uapi::sys_move_mount,
    uapi::sys_fsopen,
    uapi::sys_fsconfig,
    uapi::sys_fsmount,
    uapi::sys_fspick,
    uapi::sys_mount_setattr,
    uapi::sys_quotactl_fd,
    uapi::sys_open_tree_attr,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_uselib,
    SYS_ustat,
    SYS_sysfs,
    SYS_modify_ldt,
#endif
};

// ioctl requests that type into a terminal or change its line discipline.
constexpr std::uint32_t forbidden_ioctls[] = {TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS};

constexpr std::uint32_t number(long call) {
  return static_cast<std::uint32_t>(call);
}

// A set-uid file is harmless inside, and outside lends this user's rights to whoever runs it. (The
// set-gid bit stays: directories have it for sharing.)
void add_set_uid_rules(BpfAssembler& code) {
  auto refuse_mode = [&](unsigned argument) {
    code.load_low_word(argument);
    code.give_if_any_bit(S_ISUID, answer(EPERM));
    code.give(allow);
  };
  // The mode counts only where a file is made; otherwise the argument may be anything.
  auto refuse_new = [&](unsigned flags) {
    code.load_low_word(flags);
    code.mask(O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
    code.give_if_equal(0, allow);
    refuse_mode(flags + 1);
  };
  code.when_one_of({number(SYS_openat)}, [&] { refuse_new(2); });
  code.when_one_of({number(SYS_fchmodat), number(uapi::sys_fchmodat2), number(SYS_mknodat)},
                   [&] { refuse_mode(2); });
#if defined(__x86_64__)
  code.when_one_of({number(SYS_open)}, [&] { refuse_new(1); });
  code.when_one_of({number(SYS_chmod), number(SYS_creat), number(SYS_mknod)},
                   [&] { refuse_mode(1); });
#endif
  code.when_one_of({number(SYS_fchmod)}, [&] { refuse_mode(1); });
}

void add_namespace_rules(BpfAssembler& code) {
  code.when_one_of({number(SYS_clone)}, [&] {
    code.load_low_word(0);
    code.give_if_any_bit(namespace_flags, answer(EPERM));
    code.give(allow);
  });
  code.when_one_of({number(SYS_unshare)}, [&] {
    code.load_low_word(0);
    code.give_if_any_bit(namespace_flags | uapi::clone_new_time, answer(EPERM));
    code.give(allow);
  });
}

// The kernel takes the request as 32 bits, so the low word is all there is to compare.
void add_ioctl_rules(BpfAssembler& code) {
  code.when_one_of({number(SYS_ioctl)}, [&] {
    code.load_low_word(1);
    for (std::uint32_t request : forbidden_ioctls) code.give_if_equal(request, answer(EPERM));
    code.give(allow);
  });
}

// A process group crosses the border of the pid namespace: P stands in the command's, and would be
// slowed along with it. Single processes outside cannot be named, a user's are only those inside.
void add_priority_rules(BpfAssembler& code) {
  constexpr std::uint32_t io_priority_of_group = 2;  // IOPRIO_WHO_PGRP
  code.when_one_of({number(SYS_setpriority)}, [&] {
    code.load_low_word(0);
    code.give_if_equal(PRIO_PGRP, answer(EPERM));
    code.give(allow);
  });
  code.when_one_of({number(SYS_ioprio_set)}, [&] {
    code.load_low_word(0);
    code.give_if_equal(io_priority_of_group, answer(EPERM));
    code.give(allow);
  });
}

// A datagram pair could be pointed at another socket by sendto(); the connected types cannot.
void add_socketpair_rules(BpfAssembler& code) {
  code.when_one_of({number(SYS_socketpair)}, [&] {
    code.load_low_word(0);
    code.give_unless_equal(AF_UNIX, answer(EPERM));
    code.load_low_word(1);
    code.mask(socket_type_mask);
    code.give_if_equal(SOCK_STREAM, allow);
    code.give_if_equal(SOCK_SEQPACKET, allow);
    code.give(answer(EPERM));
  });
}

// TCP and UDP proper, no other protocol in their place: MPTCP, SMC and UDP-Lite have holes of their
// own, raw and ping sockets need not be. Go falls back from MPTCP on EPROTONOSUPPORT.
void add_internet_rules(BpfAssembler& code, bool datagrams) {
  code.load_low_word(1);
  code.mask(socket_type_mask);
  code.when_one_of({SOCK_STREAM}, [&] {
    code.load_low_word(2);
    code.give_if_equal(0, allow);
    code.give_if_equal(IPPROTO_TCP, allow);
    code.give(answer(EPROTONOSUPPORT));
  });
  code.when_one_of({SOCK_DGRAM}, [&] {
    if (!datagrams) return code.give(answer(EPERM));
    code.load_low_word(2);
    code.give_if_equal(0, allow);
    code.give_if_equal(IPPROTO_UDP, allow);
    code.give(answer(EPERM));
  });
  code.give(answer(EPERM));
}

// Datagram sockets are refused in any case (SOCK_RAW is another name of theirs): each message of
// one may go to another socket, and some of the host's (/dev/log) come and go.
void add_unix_rules(BpfAssembler& code, const FilterOptions& options) {
  if (options.unix_sockets) {
    code.load_low_word(1);
    code.mask(socket_type_mask);
    code.give_if_equal(SOCK_STREAM, allow);
    code.give_if_equal(SOCK_SEQPACKET, allow);
  }
  code.give(answer(EPERM));
}

void add_socket_rules(BpfAssembler& code, const FilterOptions& options) {
  code.when_one_of({number(SYS_socket)}, [&] {
    code.load_low_word(0);
    code.when_one_of({AF_INET, AF_INET6}, [&] {
      if (options.free_internet_sockets) {
        code.give(allow);
      } else {
        add_internet_rules(code, !options.notify);
      }
    });
    code.when_one_of({AF_NETLINK}, [&] {
      code.load_low_word(2);
      code.give_if_equal(NETLINK_ROUTE, allow);  // getifaddrs()
      code.give(answer(EPERM));
    });
    code.when_one_of({AF_UNIX}, [&] { add_unix_rules(code, options); });
    code.give(answer(EAFNOSUPPORT));
  });
}

}  // namespace

std::vector<sock_filter> build_filter(const FilterOptions& options) {
  BpfAssembler code;
  code.load_architecture();  // first: numbers mean other calls in another table
  code.give_unless_equal(native_architecture, answer(ENOSYS));
  code.load_number();
  code.give_if_at_least(x32_bit, answer(ENOSYS));
  std::vector<BpfAssembler::Case> cases;
  for (long call : absent_calls) cases.push_back({number(call), answer(ENOSYS)});
  for (long call : forbidden_calls) cases.push_back({number(call), answer(EPERM)});
  code.give_by_value(std::move(cases));
  add_set_uid_rules(code);
  add_namespace_rules(code);
  add_ioctl_rules(code);
  if (!options.notify) add_priority_rules(code);  // its own table is stricter
  add_socketpair_rules(code);
  add_socket_rules(code, options);
  if (options.notify) add_notify_rules(code, *options.notify);
  code.give(allow);
  return code.take();
}

Done install_filter(const std::vector<sock_filter>& filter) {
  sock_fprog program = {static_cast<unsigned short>(filter.size()),
                        const_cast<sock_filter*>(filter.data())};
  // SPEC_ALLOW: no slow-down against speculation on kernels that tie one to seccomp.
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) !=
      0) {
    return failed(Step::seccomp, errno);
  }
  return {};
}

}  // namespace nono::sandbox
