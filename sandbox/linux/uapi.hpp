#pragma once
// Kernel constants that the headers of older distributions lack. Values are ABI and never change;
// the numbers of system calls from 424 on are the same on every architecture.

#include <cstdint>

namespace nono::sandbox::uapi {

// --- Landlock: landlock(7), include/uapi/linux/landlock.h ------------------------------------
inline constexpr long sys_landlock_create_ruleset = 444;
inline constexpr long sys_landlock_add_rule = 445;
inline constexpr long sys_landlock_restrict_self = 446;

inline constexpr std::uint32_t landlock_create_ruleset_version = 1;
inline constexpr int landlock_rule_path_beneath = 1;

struct LandlockRulesetAttr {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};

struct [[gnu::packed]] LandlockPathBeneathAttr {
  std::uint64_t allowed_access;
  std::int32_t parent_fd;
};

namespace access_fs {
inline constexpr std::uint64_t execute = 1U << 0;
inline constexpr std::uint64_t write_file = 1U << 1;
inline constexpr std::uint64_t read_file = 1U << 2;
inline constexpr std::uint64_t read_dir = 1U << 3;
inline constexpr std::uint64_t remove_dir = 1U << 4;
inline constexpr std::uint64_t remove_file = 1U << 5;
inline constexpr std::uint64_t make_char = 1U << 6;
inline constexpr std::uint64_t make_dir = 1U << 7;
inline constexpr std::uint64_t make_reg = 1U << 8;
inline constexpr std::uint64_t make_sock = 1U << 9;
inline constexpr std::uint64_t make_fifo = 1U << 10;
inline constexpr std::uint64_t make_block = 1U << 11;
inline constexpr std::uint64_t make_sym = 1U << 12;
inline constexpr std::uint64_t refer = 1U << 13;         // ABI 2
inline constexpr std::uint64_t truncate = 1U << 14;      // ABI 3
inline constexpr std::uint64_t ioctl_dev = 1U << 15;     // ABI 5
inline constexpr std::uint64_t resolve_unix = 1U << 16;  // ABI 9
}  // namespace access_fs

inline constexpr std::uint64_t access_net_bind_tcp = 1U << 0;     // ABI 4
inline constexpr std::uint64_t access_net_connect_tcp = 1U << 1;  // ABI 4

inline constexpr std::uint64_t scope_abstract_unix_socket = 1U << 0;  // ABI 6
inline constexpr std::uint64_t scope_signal = 1U << 1;                // ABI 6

// --- System calls named by the filter or called directly --------------------------------------
inline constexpr long sys_io_uring_setup = 425;
inline constexpr long sys_io_uring_enter = 426;
inline constexpr long sys_io_uring_register = 427;
inline constexpr long sys_open_tree = 428;
inline constexpr long sys_move_mount = 429;
inline constexpr long sys_fsopen = 430;
inline constexpr long sys_fsconfig = 431;
inline constexpr long sys_fsmount = 432;
inline constexpr long sys_fspick = 433;
inline constexpr long sys_pidfd_send_signal = 424;
inline constexpr long sys_pidfd_open = 434;
inline constexpr long sys_clone3 = 435;
inline constexpr long sys_openat2 = 437;
inline constexpr long sys_pidfd_getfd = 438;
inline constexpr long sys_process_madvise = 440;
inline constexpr long sys_mount_setattr = 442;
inline constexpr long sys_quotactl_fd = 443;
inline constexpr long sys_process_mrelease = 448;
inline constexpr long sys_fchmodat2 = 452;
inline constexpr long sys_open_tree_attr = 467;

// --- Sockets ----------------------------------------------------------------------------------
inline constexpr int so_netns_cookie =
    71;  // Linux 5.14: a namespace's identity, read by getsockopt

// --- Seccomp notifications ----------------------------------------------------------------------
inline constexpr unsigned long seccomp_notif_set_flags = 0x40082104;  // an ioctl, Linux 6.6
inline constexpr std::uint64_t seccomp_fd_sync_wake_up = 1;

// --- Namespaces -------------------------------------------------------------------------------
inline constexpr std::uint32_t clone_new_time = 0x80;

}  // namespace nono::sandbox::uapi
