#include "sandbox/linux/failure.hpp"

#include <fmt/core.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace nono::sandbox {
namespace {

// The first number of a file of /proc/sys, or `otherwise` where there is no such file.
long read_number(const char* path, long otherwise) {
  std::ifstream file(path);
  long value = otherwise;
  return file >> value ? value : otherwise;
}

bool apparmor_restricts() {
  return read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1;
}

std::string own_path() {
  std::array<char, 4096> buffer;
  ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : "/usr/bin/nono";
}

std::string apparmor_remedy() {
  return fmt::format(
      "allow nono to make user namespaces: write the following to /etc/apparmor.d/nono and run "
      "`sudo apparmor_parser -r /etc/apparmor.d/nono`:\n"
      "  abi <abi/4.0>,\n  include <tunables/global>\n"
      "  profile nono {} flags=(unconfined) {{\n    userns,\n  }}\n"
      "or, for every program: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
      own_path());
}

std::string namespace_remedy(int error) {
  if (::geteuid() != 0 && read_number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0) {
    return "allow user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`";
  }
  if (error == ENOSPC || read_number("/proc/sys/user/max_user_namespaces", 1) == 0) {
    return "allow more user namespaces: `sudo sysctl user.max_user_namespaces=15000`";
  }
  if (apparmor_restricts()) return apparmor_remedy();
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2) {
    return "a seccomp filter of the surrounding container or sandbox forbids it: start the "
           "container "
           "with `--security-opt seccomp=unconfined`, or run nono outside it";
  }
  if (error == EPERM) {
    return "the kernel forbids user namespaces here (a chroot or a container?): run nono outside "
           "it";
  }
  return "this kernel lacks user, network, mount or pid namespaces: use a distribution's own "
         "kernel";
}

std::string landlock_remedy(int error) {
  if (error == EOPNOTSUPP) {
    return "Landlock is built in but switched off: add `landlock` to the `lsm=` list on the "
           "kernel's "
           "command line";
  }
  if (error == ENOSYS) return "Landlock needs Linux 5.13 or newer, built with it";
  return {};
}

std::string remedy(const Failure& failure) {
  switch (failure.step) {
    case Step::user_namespace:
      return namespace_remedy(failure.error);
    case Step::id_map:
    case Step::loopback:
    case Step::mount_tree:
    case Step::mount_read_only:
      if (failure.error == EPERM || failure.error == EACCES) return namespace_remedy(failure.error);
      return {};
    case Step::mount_proc:
      return "parts of /proc are hidden here, as in most containers, so the kernel refuses a fresh "
             "one: start the container with `--security-opt systempaths=unconfined`";
    case Step::mount_grant:
    case Step::landlock:
      if (failure.error == ELOOP) return "name the directory itself, not a symbolic link to it";
      return landlock_remedy(failure.error);
    case Step::limits:
      if (failure.detail != "control group") return {};
      return "run it where a control group is yours: `systemd-run --user --scope nono run ...`, or "
             "as root";
    case Step::listener:
      if (failure.error == EACCES) return "choose a proxy port above 1023";
      return {};
    case Step::capture:
      return "leave --capture-all-ports out: the ports that rules name are captured then; or use a "
             "kernel with nf_tables and nft_tproxy";
    case Step::directory:
      return "start nono in a directory that you may enter; as root, note that nono gives up "
             "root's "
             "right to enter other users' directories";
    default:
      return {};
  }
}

}  // namespace

std::string_view to_string(Step step) {
  switch (step) {
    case Step::start:
      return "start the launcher";
    case Step::user_namespace:
      return "create the namespaces (user, network, mount, pid)";
    case Step::id_map:
      return "map the user id into the user namespace";
    case Step::loopback:
      return "set up the sandbox's loopback network";
    case Step::listener:
      return "listen for the proxy inside the sandbox";
    case Step::capture:
      return "redirect every port of the sandbox to the proxy (nf_tables, TPROXY)";
    case Step::stdio:
      return "replace a socket on standard input or output by a pipe";
    case Step::mount_tree:
      return "detach the mounts from the host";
    case Step::mount_grant:
      return "mount a granted path";
    case Step::mount_read_only:
      return "make the file system read-only";
    case Step::mount_proc:
      return "mount a fresh /proc";
    case Step::mount_private:
      return "mount private temporary files";
    case Step::mount_policy:
      return "protect a policy file";
    case Step::mount_deny:
      return "hide a denied path";
    case Step::terminal:
      return "give the command a terminal of its own";
    case Step::directory:
      return "enter the working directory";
    case Step::limits:
      return "set limits and close descriptors";
    case Step::capabilities:
      return "drop the capabilities";
    case Step::no_new_privs:
      return "forbid new privileges";
    case Step::landlock:
      return "confine files with Landlock";
    case Step::seccomp:
      return "install the system call filter";
    case Step::self_check:
      return "confirm that the sandbox holds";
    case Step::exec:
      return "execute the command";
    case Step::peer_gone:
      return "reach the other processes of the sandbox";
  }
  return "build the sandbox";
}

Error explain(const Failure& failure) {
  std::string what = fmt::format("cannot sandbox: could not {}", to_string(failure.step));
  if (!failure.detail.empty()) what += fmt::format(" ({})", failure.detail);
  if (failure.error != 0) what += fmt::format(": {}", std::strerror(failure.error));
  // Killed, most likely: no reason to try another backend at once.
  const bool gone = failure.step == Step::peer_gone;
  return Error{Side::self, gone ? ErrorCode::io : ErrorCode::not_supported, std::move(what),
               remedy(failure)};
}

}  // namespace nono::sandbox
