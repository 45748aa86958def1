#include "sandbox/linux/capabilities.hpp"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace nono::sandbox {
namespace {

constexpr int capability_numbers_max = 64;
constexpr unsigned long locked_bits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

using CapabilityData = std::array<__user_cap_data_struct, 2>;

Done hold(CapabilityData held) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  if (::syscall(SYS_capset, &header, held.data()) != 0) {
    return failed(Step::capabilities, errno, "capset");
  }
  return {};
}

// All but the sets of what is held.
Done drop_for_later() {
  if (Done done = empty_bounding_set(); !done) return done;
  if (::prctl(PR_SET_SECUREBITS, locked_bits, 0, 0, 0) != 0) {
    return failed(Step::capabilities, errno, "securebits");
  }
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return failed(Step::capabilities, errno, "ambient set");
  }
  return {};
}

}  // namespace

Done empty_bounding_set() {
  for (int number = 0; number < capability_numbers_max; ++number) {
    const int present = ::prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (present < 0 && errno == EINVAL) break;  // past the last that this kernel knows
    if (present == 0 || ::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    return failed(Step::capabilities, errno, "bounding set");
  }
  return {};
}

Done drop_capabilities() {
  if (Done done = drop_for_later(); !done) return done;
  return hold({});
}

Done drop_capabilities_but(int capability) {
  if (Done done = drop_for_later(); !done) return done;
  CapabilityData one = {};
  const auto word = static_cast<std::size_t>(CAP_TO_INDEX(capability));
  one.at(word).permitted = one.at(word).effective = CAP_TO_MASK(capability);
  return hold(one);
}

Done drop_last_capability() {
  return hold({});
}

Done drop_held_capabilities() {
  if (drop_capabilities()) return {};
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return hold({});
}

Done forbid_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed(Step::no_new_privs, errno);
  return {};
}

bool holds_no_capability() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilityData sets = {};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  return std::all_of(sets.begin(), sets.end(), [](const __user_cap_data_struct& set) {
    return set.effective == 0 && set.permitted == 0 && set.inheritable == 0;
  });
}

bool has_no_capabilities() {
  if (!holds_no_capability()) return false;
  for (int number = 0; number < capability_numbers_max; ++number) {
    int present = ::prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (present < 0) break;
    if (present != 0) return false;
  }
  int bits = ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  return bits >= 0 && (static_cast<unsigned long>(bits) & locked_bits) == locked_bits;
}

}  // namespace nono::sandbox
