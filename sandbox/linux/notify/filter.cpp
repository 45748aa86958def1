#include "sandbox/linux/notify/filter.hpp"

#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "config/base/fd.hpp"

namespace nono::sandbox {
namespace {

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t level_ip = 0;
constexpr std::uint32_t level_ipv6 = 41;
constexpr std::uint32_t ip_options = 4;
constexpr std::uint32_t ip_unicast_if = 50;
constexpr std::uint32_t ipv6_unicast_if = 76;
constexpr std::uint32_t so_bind_to_device = 25;
constexpr std::uint32_t so_bind_to_index = 62;
constexpr std::uint32_t ioprio_of_process = 1;

constexpr std::uint32_t answer(int error) {
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error) & SECCOMP_RET_DATA);
}

constexpr std::uint32_t number(long call) {
  return static_cast<std::uint32_t>(call);
}

// There is no IPC namespace: System V objects of this user are those of the host. And without
// read-only mounts nothing else stops extended attributes and owners from being changed.
constexpr long refused_calls[] = {
    SYS_shmget,    SYS_shmat,       SYS_shmctl,       SYS_msgget,       SYS_msgsnd,
    SYS_msgrcv,    SYS_msgctl,      SYS_semget,       SYS_semop,        SYS_semtimedop,
    SYS_semctl,    SYS_fchown,      SYS_fchownat,     SYS_setxattr,     SYS_lsetxattr,
    SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
#if defined(__x86_64__)
    SYS_chown,     SYS_lchown,
#endif
};

// Options that lead packets another way than to the address given, or send before connect().
constexpr std::uint32_t refused_ipv6_options[] = {
    IPV6_2292RTHDR, IPV6_2292PKTOPTIONS, IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR, IPV6_DSTOPTS,
};

void add_socket_option_rules(BpfAssembler& code) {
  code.when_one_of({number(SYS_setsockopt)}, [&] {
    code.load_low_word(1);
    code.when_one_of({IPPROTO_TCP}, [&] {
      code.load_low_word(2);
      code.give_if_equal(TCP_FASTOPEN_CONNECT, answer(ENOPROTOOPT));
      code.give_if_equal(TCP_ULP, answer(ENOPROTOOPT));
      code.give_if_equal(TCP_REPAIR, answer(ENOPROTOOPT));
      code.give(allow);
    });
    code.when_one_of({level_ip}, [&] {
      code.load_low_word(2);
      code.give_if_equal(ip_options, answer(EPERM));
      code.give_if_equal(ip_unicast_if, answer(EPERM));
      code.give(allow);
    });
    code.when_one_of({level_ipv6}, [&] {
      code.load_low_word(2);
      for (std::uint32_t option : refused_ipv6_options) code.give_if_equal(option, answer(EPERM));
      code.give_if_equal(ipv6_unicast_if, answer(EPERM));
      code.give(allow);
    });
    code.when_one_of({SOL_SOCKET}, [&] {
      code.load_low_word(2);
      code.give_if_equal(so_bind_to_device, answer(EPERM));
      code.give_if_equal(so_bind_to_index, answer(EPERM));
      code.give(allow);
    });
    code.give(allow);
  });
}

// TCP fast open connects by sending.
void add_fast_open_rules(BpfAssembler& code) {
  auto refuse_flag = [&](unsigned argument) {
    code.load_low_word(argument);
    code.give_if_any_bit(MSG_FASTOPEN, answer(EOPNOTSUPP));
    code.give(allow);
  };
  code.when_one_of({number(SYS_sendto), number(SYS_sendmmsg)}, [&] { refuse_flag(3); });
  code.when_one_of({number(SYS_sendmsg)}, [&] { refuse_flag(2); });
}

void add_connection_rules(BpfAssembler& code, const NotifyRules& rules) {
  const std::uint32_t asks = SECCOMP_RET_USER_NOTIF;
  const bool supervised = rules.connecting == Connecting::asks;
  const std::uint32_t connecting = supervised ? asks : answer(ECONNREFUSED);
  const std::uint32_t listening = rules.listening_asks ? asks : answer(EPERM);
  code.when_one_of({number(SYS_connect)}, [&] { code.give(connecting); });
  code.when_one_of({number(SYS_listen)}, [&] { code.give(listening); });
  // getifaddrs() binds a netlink socket. No internet address is as short as that one's.
  code.when_one_of({number(SYS_bind)}, [&] {
    code.load_low_word(2);
    code.give_if_equal(sizeof(sockaddr_nl), allow);
    code.give(listening);
  });
  add_fast_open_rules(code);
  add_socket_option_rules(code);
}

// What reaches other processes of this user and what no Landlock rule covers.
void add_process_rules(BpfAssembler& code) {
  code.when_one_of({number(SYS_prlimit64)}, [&] {
    code.load_low_word(0);
    code.give_unless_equal(0, answer(EPERM));
    code.give(allow);
  });
  code.when_one_of({number(SYS_setpriority)}, [&] {
    code.load_low_word(0);
    code.give_unless_equal(PRIO_PROCESS, answer(EPERM));
    code.give(allow);
  });
  code.when_one_of({number(SYS_ioprio_set)}, [&] {
    code.load_low_word(0);
    code.give_unless_equal(ioprio_of_process, answer(EPERM));
    code.give(allow);
  });
  // Of two filters that ask a supervisor, the newer one's is asked.
  code.when_one_of({number(SYS_seccomp)}, [&] {
    code.load_low_word(1);
    code.give_if_any_bit(SECCOMP_FILTER_FLAG_NEW_LISTENER, answer(EBUSY));
    code.give(allow);
  });
}

}  // namespace

void add_notify_rules(BpfAssembler& code, const NotifyRules& rules) {
  std::vector<BpfAssembler::Case> cases;
  for (long call : refused_calls) cases.push_back({number(call), answer(EPERM)});
  code.give_by_value(std::move(cases));
  add_process_rules(code);
  if (rules.connecting != Connecting::free) add_connection_rules(code, rules);
}

Done install_with_listener(const std::vector<sock_filter>& filter, int supervisor) {
  sock_fprog program = {static_cast<unsigned short>(filter.size()),
                        const_cast<sock_filter*>(filter.data())};
  constexpr unsigned flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  // With the further flag a signal does not interrupt a call that the supervisor has begun to
  // serve. Linux 5.19; without it the command may see EISCONN where it connects again.
  long made = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
  if (made < 0 && errno == EINVAL) {
    made = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  }
  if (made < 0) return failed(Step::seccomp, errno, "with a supervisor");
  UniqueFd listener(static_cast<int>(made));

  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  int fd = listener.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (::sendmsg(supervisor, &message, MSG_NOSIGNAL) != 1) return failed(Step::peer_gone, errno);
  return {};
}

int receive_listener(int socket) {
  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size = -1;
  do {
    size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  cmsghdr* header = size == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
    return -1;
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

}  // namespace nono::sandbox
