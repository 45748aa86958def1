// The same calls by the tables of other architectures that an x86-64 kernel answers too: i386 by
// `int 0x80`, x32 by a bit in the number. A filter that looks at numbers alone does not know them.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

#if defined(__x86_64__)

// Memory below 4 GiB, which is all that i386 can point to.
class LowMemory {
 public:
  LowMemory()
      : memory_(::mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0)) {}
  ~LowMemory() { ::munmap(memory_, size_); }
  LowMemory(const LowMemory&) = delete;

  std::uint32_t put(const void* data, std::size_t size) {
    char* place = static_cast<char*>(memory_) + used_;
    std::memcpy(place, data, size);
    used_ += (size + 15) / 16 * 16;
    return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(place));
  }

 private:
  static constexpr std::size_t size_ = 16384;
  void* memory_;
  std::size_t used_ = 0;
};

std::jmp_buf no_such_table;

// As the C library: -1 and errno.
int i386(std::uint32_t number, std::uint32_t first = 0, std::uint32_t second = 0,
         std::uint32_t third = 0, std::uint32_t fourth = 0, std::uint32_t fifth = 0) {
  // A kernel without the table kills instead of answering.
  std::signal(SIGSEGV, [](int) { std::longjmp(no_such_table, 1); });
  if (setjmp(no_such_table) != 0) {
    errno = ENOSYS;
    return -1;
  }
  long result = 0;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(static_cast<long>(number)), "b"(first), "c"(second), "d"(third), "S"(fourth),
                 "D"(fifth)
               : "memory", "r8", "r9", "r10", "r11");
  const int value = static_cast<int>(result);
  if (value >= 0 || value < -4095) return value;
  errno = -value;
  return -1;
}

// Numbers of the i386 table.
constexpr std::uint32_t i386_open = 5;
constexpr std::uint32_t i386_socketcall = 102;
constexpr std::uint32_t i386_socket = 359;
constexpr std::uint32_t i386_connect = 362;
constexpr std::uint32_t i386_sendto = 369;

Outcome i386_tcp(const Attempt& attempt) {
  LowMemory memory;
  const UniqueFd socket(i386(i386_socket, AF_INET, SOCK_STREAM, 0));
  if (!socket) return blocked("socket");
  const sockaddr_in address = attempt.where.v4("tcp4");
  const std::uint32_t place = memory.put(&address, sizeof address);
  if (i386(i386_connect, static_cast<std::uint32_t>(socket.get()), place, sizeof address) != 0) {
    return blocked("connect");
  }
  return tell(socket.get(), attempt.message);
}

Outcome i386_udp(const Attempt& attempt) {
  LowMemory memory;
  const UniqueFd socket(i386(i386_socket, AF_INET, SOCK_DGRAM, 0));
  if (!socket) return blocked("socket");
  const sockaddr_in address = attempt.where.v4("udp4");
  const std::uint32_t place = memory.put(&address, sizeof address);
  const std::uint32_t text = memory.put(attempt.message.data(), attempt.message.size());
  // The sixth argument, the address's length, would be in EBP: connect instead.
  if (i386(i386_connect, static_cast<std::uint32_t>(socket.get()), place, sizeof address) != 0) {
    return blocked("connect");
  }
  if (i386(i386_sendto, static_cast<std::uint32_t>(socket.get()), text,
           static_cast<std::uint32_t>(attempt.message.size()), 0, 0) < 0) {
    return blocked("sendto");
  }
  return reached("sent");
}

// All socket calls behind one number, which in the native table is getuid.
Outcome i386_multiplexed(const Attempt& attempt) {
  LowMemory memory;
  constexpr std::uint32_t call_socket = 1;
  constexpr std::uint32_t call_connect = 3;
  const std::array<std::uint32_t, 3> wanted = {AF_INET, SOCK_STREAM, 0};
  const int fd = i386(i386_socketcall, call_socket, memory.put(wanted.data(), sizeof wanted));
  const UniqueFd socket(fd);
  if (!socket) return blocked("socketcall(socket)");
  const sockaddr_in address = attempt.where.v4("tcp4");
  const std::array<std::uint32_t, 3> target = {
      static_cast<std::uint32_t>(fd), memory.put(&address, sizeof address), sizeof address};
  if (i386(i386_socketcall, call_connect, memory.put(target.data(), sizeof target)) != 0) {
    return blocked("socketcall(connect)");
  }
  return tell(socket.get(), attempt.message);
}

// A Unix socket, which the native table must refuse too.
Outcome i386_unix(const Attempt& attempt) {
  const UniqueFd socket(i386(i386_socket, AF_UNIX, SOCK_STREAM, 0));
  if (!socket) return blocked("socket");
  (void)attempt;
  return reached("made");
}

Outcome i386_file(const Attempt& attempt) {
  LowMemory memory;
  const std::string path = attempt.where.text("outside") + "/secret";
  const UniqueFd file(i386(i386_open, memory.put(path.c_str(), path.size() + 1), O_RDONLY, 0));
  if (!file) return blocked("open");
  return reached(read_some(file.get()));
}

Outcome x32_unix(const Attempt& /*attempt*/) {
  constexpr long x32_bit = 0x40000000;
  const UniqueFd socket(static_cast<int>(::syscall(x32_bit | SYS_socket, AF_UNIX, SOCK_STREAM, 0)));
  return socket ? reached("made") : blocked("socket");
}

#else

Outcome no_table(const Attempt& /*attempt*/) {
  errno = ENOSYS;
  return blocked("this architecture");
}
constexpr auto i386_tcp = no_table, i386_udp = no_table, i386_multiplexed = no_table,
               i386_unix = no_table, i386_file = no_table, x32_unix = no_table;

#endif

}  // namespace

Family foreign_abi_family() {
  constexpr const char* needs = "the i386 table";
  return {
      {"i386-tcp", Proof::hit, i386_tcp, needs},
      {"i386-udp", Proof::hit, i386_udp, needs},
      {"i386-multiplexed", Proof::hit, i386_multiplexed, needs},
      {"i386-unix", Proof::word, i386_unix, needs},
      {"i386-file", Proof::read, i386_file, needs},
      {"x32-unix", Proof::word, x32_unix, "the x32 table"},
  };
}

}  // namespace escape
