// io_uring by raw system calls: what it does, no filter of system calls sees.

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

constexpr long sys_io_uring_setup = 425;
constexpr long sys_io_uring_enter = 426;
constexpr std::size_t ring_bytes = 65536;

// A ring of one entry, used for one operation at a time.
class Ring {
 public:
  Ring() : fd_(static_cast<int>(::syscall(sys_io_uring_setup, 1, &parameters_))) {
    if (!fd_) return;
    submissions_ = map(IORING_OFF_SQ_RING);
    completions_ = map(IORING_OFF_CQ_RING);
    entries_ = map(IORING_OFF_SQES);
  }
  bool valid() const { return fd_.valid() && submissions_ && completions_ && entries_; }

  // The operation's result: not negative, or -errno.
  int perform(const io_uring_sqe& operation) {
    std::memcpy(entries_, &operation, sizeof operation);
    const std::uint32_t tail = *word(submissions_, parameters_.sq_off.tail);
    const std::uint32_t mask = *word(submissions_, parameters_.sq_off.ring_mask);
    word(submissions_, parameters_.sq_off.array)[tail & mask] = 0;
    std::atomic_ref(*word(submissions_, parameters_.sq_off.tail)).store(tail + 1);
    if (::syscall(sys_io_uring_enter, fd_.get(), 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) {
      return -errno;
    }
    const std::uint32_t head = *word(completions_, parameters_.cq_off.head);
    const std::uint32_t completed_mask = *word(completions_, parameters_.cq_off.ring_mask);
    io_uring_cqe completion;
    std::memcpy(
        &completion,
        completions_ + parameters_.cq_off.cqes + (head & completed_mask) * sizeof(io_uring_cqe),
        sizeof completion);
    std::atomic_ref(*word(completions_, parameters_.cq_off.head)).store(head + 1);
    return completion.res;
  }

 private:
  char* map(off_t offset) const {
    void* memory =
        ::mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), offset);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
  }
  static std::uint32_t* word(char* ring, std::uint32_t offset) {
    return static_cast<std::uint32_t*>(static_cast<void*>(ring + offset));
  }

  io_uring_params parameters_ = {};
  UniqueFd fd_;
  char* submissions_ = nullptr;
  char* completions_ = nullptr;
  char* entries_ = nullptr;
};

std::uint64_t pointer(const void* address) {
  return reinterpret_cast<std::uint64_t>(address);
}

// Makes the socket by the ring as well where the kernel can (Linux 5.19).
UniqueFd socket_by(Ring& ring, int type) {
  io_uring_sqe operation = {};
  operation.opcode = IORING_OP_SOCKET;
  operation.fd = AF_INET;
  operation.off = static_cast<std::uint64_t>(type);
  int fd = ring.perform(operation);
  if (fd < 0) fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  return UniqueFd(fd);
}

Outcome failed(const char* step, int result) {
  errno = -result;
  return blocked(step);
}

Outcome connects(const Attempt& attempt) {
  Ring ring;
  if (!ring.valid()) return blocked("io_uring_setup");
  const UniqueFd socket = socket_by(ring, SOCK_STREAM);
  const sockaddr_in address = attempt.where.v4("tcp4");
  io_uring_sqe operation = {};
  operation.opcode = IORING_OP_CONNECT;
  operation.fd = socket.get();
  operation.addr = pointer(&address);
  operation.off = sizeof address;
  if (const int result = ring.perform(operation); result < 0) return failed("connect", result);
  operation = {};
  operation.opcode = IORING_OP_SEND;
  operation.fd = socket.get();
  operation.addr = pointer(attempt.message.data());
  operation.len = static_cast<std::uint32_t>(attempt.message.size());
  if (const int result = ring.perform(operation); result < 0) return failed("send", result);
  return reached("sent");
}

Outcome sends_datagram(const Attempt& attempt) {
  Ring ring;
  if (!ring.valid()) return blocked("io_uring_setup");
  const UniqueFd socket = socket_by(ring, SOCK_DGRAM);
  sockaddr_in address = attempt.where.v4("udp4");
  iovec part = {const_cast<char*>(attempt.message.data()), attempt.message.size()};
  msghdr header = {};
  header.msg_name = &address;
  header.msg_namelen = sizeof address;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  io_uring_sqe operation = {};
  operation.opcode = IORING_OP_SENDMSG;
  operation.fd = socket.get();
  operation.addr = pointer(&header);
  operation.len = 1;
  if (const int result = ring.perform(operation); result < 0) return failed("sendmsg", result);
  return reached("sent");
}

Outcome opens(const Attempt& attempt) {
  Ring ring;
  if (!ring.valid()) return blocked("io_uring_setup");
  const std::string path = attempt.where.text("outside") + "/secret";
  io_uring_sqe operation = {};
  operation.opcode = IORING_OP_OPENAT;
  operation.fd = AT_FDCWD;
  operation.addr = pointer(path.c_str());
  operation.open_flags = O_RDONLY;
  const int fd = ring.perform(operation);
  if (fd < 0) return failed("openat", fd);
  const UniqueFd file(fd);
  return reached(read_some(file.get()));
}

}  // namespace

Family uring_family() {
  constexpr const char* needs = "io_uring";
  return {
      {"uring-tcp", Proof::hit, connects, needs},
      {"uring-udp", Proof::hit, sends_datagram, needs},
      {"uring-open", Proof::read, opens, needs},
  };
}

}  // namespace escape
