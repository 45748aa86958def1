// What was left open by whoever started the program (see `wrap leak`), and devices.

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

constexpr int descriptors_max = 256;

template <class Try>
Outcome any_descriptor(Try attempt) {
  for (int fd = 3; fd < descriptors_max; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) continue;
    if (Outcome outcome = attempt(fd); outcome.escaped) return outcome;
  }
  return {false, "no such descriptor"};
}

Outcome inherited_file(const Attempt& /*attempt*/) {
  return any_descriptor([](int fd) -> Outcome {
    std::array<char, 128> block = {};
    struct stat info = {};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return {};
    return {::pread(fd, block.data(), block.size() - 1, 0) > 0, block.data()};
  });
}

Outcome inherited_folder(const Attempt& /*attempt*/) {
  return any_descriptor([](int fd) -> Outcome {
    const UniqueFd file(::openat(fd, "secret", O_RDONLY | O_CLOEXEC));
    return {file.valid(), file ? read_some(file.get()) : ""};
  });
}

Outcome inherited_listener(const Attempt& /*attempt*/) {
  return any_descriptor([](int fd) -> Outcome {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0) return {};
    return {listens == 1, "listens"};
  });
}

Outcome inherited_socket(const Attempt& attempt) {
  return any_descriptor([&](int fd) -> Outcome {
    sockaddr_storage peer = {};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, static_cast<sockaddr*>(static_cast<void*>(&peer)), &size) != 0) return {};
    return tell(fd, attempt.message);
  });
}

// Standard input is a socket, and a descriptor waits in it.
Outcome passed_on_stdin(const Attempt& /*attempt*/) {
  std::array<char, 64> control = {};
  char byte = 0;
  iovec part = {&byte, 1};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  if (::recvmsg(0, &header, MSG_DONTWAIT) < 0) return blocked("recvmsg");
  const cmsghdr* item = CMSG_FIRSTHDR(&header);
  if (item == nullptr || item->cmsg_type != SCM_RIGHTS) return {false, "no descriptor came"};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(item), sizeof fd);
  const UniqueFd file(fd);
  return reached(read_some(file.get()));
}

// Drivers that a program has no business with. Opening is all: some do things when read.
Outcome opens_devices(const Attempt& /*attempt*/) {
  std::string opened;
  for (const char* path :
       {"/dev/kmsg", "/dev/mem", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/vda",
        "/dev/sda", "/dev/nvme0n1", "/dev/loop0", "/dev/loop-control", "/dev/vsock", "/dev/rtc0",
        "/dev/snapshot", "/dev/uinput", "/dev/userfaultfd", "/dev/dri/card0", "/dev/tty1"}) {
    const UniqueFd device(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (device) opened += std::string(" ") + path;
  }
  return opened.empty() ? blocked("open") : reached(opened);
}

// A node for a driver of the machine (the kernel's log), made where the program may write.
Outcome makes_device(const Attempt& /*attempt*/) {
  ::unlink("own-device");
  if (::mknod("own-device", S_IFCHR | 0600, makedev(1, 11)) != 0) return blocked("mknod");
  const UniqueFd device(::open("own-device", O_RDONLY | O_CLOEXEC));
  return device ? reached("opened") : blocked("open");
}

}  // namespace

Family descriptor_family() {
  return {
      {"inherited-file", Proof::read, inherited_file},
      {"inherited-folder", Proof::read, inherited_folder},
      {"inherited-listener", Proof::word, inherited_listener},
      {"inherited-socket", Proof::hit, inherited_socket},
      {"passed-on-stdin", Proof::read, passed_on_stdin},
      {"devices", Proof::word, opens_devices, "a device that its user may open"},
      {"own-device", Proof::word, makes_device, "an administrator's rights"},
  };
}

}  // namespace escape
