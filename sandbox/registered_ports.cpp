#include "sandbox/registered_ports.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace nono::sandbox {
namespace {

using Clock = std::chrono::steady_clock;  // the same in every process of a machine

constexpr std::size_t ports = 65536;
constexpr std::size_t entries = 2 * ports;
constexpr std::uint32_t registered_bit = 1U << 31;
constexpr std::uint32_t v4_bit = 1U << 30;

// The same port of two addresses that follow each other has two places: connections from the first
// may still wait to be accepted.
std::size_t place_of(const Source& source) {
  return source.port + ((source.address & Source::turn_bit) != 0 ? ports : 0);
}

std::uint32_t seconds_now() {
  auto since_boot =
      std::chrono::duration_cast<std::chrono::seconds>(Clock::now().time_since_epoch());
  return static_cast<std::uint32_t>(since_boot.count());
}

}  // namespace

// Zero, as fresh memory is, means empty. Atomics, since two processes use it; `state` is written
// last and read first. The same port is registered anew only after its connection was accepted or
// given up, so the other words do not change under a reader.
struct RegisteredPorts::Entry {
  std::atomic<std::uint64_t> address_high;
  std::atomic<std::uint64_t> address_low;
  std::atomic<std::uint32_t> source;
  std::atomic<std::uint32_t> added_at;
  std::atomic<std::uint32_t> state;  // bits above, and the destination's port
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Result<std::shared_ptr<RegisteredPorts>> RegisteredPorts::make(std::chrono::seconds expires_after) {
  // Touched page by page as ports are used.
  void* memory = ::mmap(nullptr, entries * sizeof(Entry), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail(errno_error(errno, "cannot map the table of connections made for the command"));
  }
  return std::shared_ptr<RegisteredPorts>(
      new RegisteredPorts(static_cast<Entry*>(memory), expires_after));
}

RegisteredPorts::~RegisteredPorts() {
  ::munmap(entries_, entries * sizeof(Entry));
}

void RegisteredPorts::add(const Source& source, const Destination& destination) {
  Entry& entry = entries_[place_of(source)];
  std::array<std::uint64_t, 2> words = {};
  std::memcpy(words.data(), destination.address.bytes().data(), sizeof words);
  entry.state.store(0, std::memory_order_relaxed);
  entry.address_high.store(words[0], std::memory_order_relaxed);
  entry.address_low.store(words[1], std::memory_order_relaxed);
  entry.source.store(source.address, std::memory_order_relaxed);
  entry.added_at.store(seconds_now(), std::memory_order_relaxed);
  std::uint32_t family = destination.address.is_v4() ? v4_bit : 0;
  entry.state.store(registered_bit | family | destination.port, std::memory_order_release);
}

void RegisteredPorts::remove(const Source& source) {
  entries_[place_of(source)].state.store(0, std::memory_order_release);
}

std::optional<Destination> RegisteredPorts::take(const Source& source) {
  Entry& entry = entries_[place_of(source)];
  // Looked at before it is taken, so that a stranger from another address takes nothing away.
  if (entry.source.load(std::memory_order_relaxed) != source.address) return std::nullopt;
  std::uint32_t state = entry.state.exchange(0, std::memory_order_acquire);
  if ((state & registered_bit) == 0) return std::nullopt;
  const std::chrono::seconds age(seconds_now() - entry.added_at.load(std::memory_order_relaxed));
  if (age > expires_after_) return std::nullopt;

  std::array<std::uint64_t, 2> words = {entry.address_high.load(std::memory_order_relaxed),
                                        entry.address_low.load(std::memory_order_relaxed)};
  std::array<std::uint8_t, 16> bytes = {};
  std::memcpy(bytes.data(), words.data(), sizeof words);
  Destination destination;
  if ((state & v4_bit) != 0) {
    destination.address = IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]});
  } else {
    destination.address = IpAddress::v6(bytes);
  }
  destination.port = static_cast<std::uint16_t>(state & 0xffff);
  return destination;
}

std::optional<Destination> RegisteredPorts::take_for(int accepted_socket) {
  sockaddr_in peer = {};
  socklen_t size = sizeof peer;
  if (::getpeername(accepted_socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0 ||
      peer.sin_family != AF_INET) {
    return std::nullopt;
  }
  return take({ntohl(peer.sin_addr.s_addr), ntohs(peer.sin_port)});
}

void RegisteredPorts::withhold_from_children() {
  ::madvise(entries_, entries * sizeof(Entry), MADV_DONTFORK);
}

}  // namespace nono::sandbox
