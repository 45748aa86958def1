#include "sandbox/linux/awaited_plan.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <concepts>
#include <csignal>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "sandbox/linux/channel.hpp"

namespace nono::sandbox {
namespace {

// The fields of each type, once for both directions. Bound all by name: one that is added later has
// to be added here.
template <class T, class Wanted>
concept Is = std::same_as<std::remove_const_t<T>, Wanted>;

template <Is<BindMount> T>
auto fields(T& bind) {
  auto& [path, writable, socket] = bind;
  return std::tie(path, writable, socket);
}

template <Is<HiddenPath> T>
auto fields(T& hidden) {
  auto& [path, essential, exposed] = hidden;
  return std::tie(path, essential, exposed);
}

template <Is<MountPlan> T>
auto fields(T& mounts) {
  auto& [masked, links, private_directories, binds, read_only, pinned, hidden, start] = mounts;
  return std::tie(masked, links, private_directories, binds, read_only, pinned, hidden, start);
}

template <Is<LandlockRule> T>
auto fields(T& rule) {
  auto& [path, read, write, terminal, socket, optional, inside, file] = rule;
  return std::tie(path, read, write, terminal, socket, optional, inside, file);
}

template <Is<Capture> T>
auto fields(T& capture) {
  auto& [ports, all_ports, loopback_ports, dns, every_port_known] = capture;
  return std::tie(ports, all_ports, loopback_ports, dns);
}

// The rest is for P alone (grants and denies have become mounts and rules), for other plans than
// those that are told, or no different in them.
template <Is<SandboxPlan> T>
auto fields(T& plan) {
  auto& [backend, accepted, listen_ports, argv, executable, env, cwd, limits, user, grants, denies,
         read_only_paths, private_tmp, unix_sockets, network, proxy, capture, diagnose, probe] =
      plan;
  return std::tie(argv, executable, env, cwd, proxy, capture);
}

// What is not there has been known since the processes began, or follows from the plan.
template <Is<Prepared> T>
auto fields(T& prepared) {
  auto& [plan, uid, gid, over, parent, mounts, rules, filter, notify, supervisor_filter, observer,
         argv, envp, signal_mask, child_action, group, processes, can_be_stopped] = prepared;
  return std::tie(mounts, rules, filter, processes, can_be_stopped);
}

template <class T>
concept HasFields = requires(T& value) {
  fields(value);
};

class Writer {
 public:
  template <class T>
  void put(const T& value) {
    if constexpr (HasFields<const T>) {
      std::apply([this](const auto&... each) { (this->put(each), ...); }, fields(value));
    } else {
      static_assert(std::is_trivially_copyable_v<T>);
      text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  void put(const std::string& value) {
    put(value.size());
    text_.append(value);
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put(values.size());
    for (const T& value : values) put(value);
  }
  template <class A, class B>
  void put(const std::pair<A, B>& value) {
    put(value.first);
    put(value.second);
  }
  template <class T>
  void put(const std::optional<T>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// Each get() is false where the bytes end too early.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  bool at_end() const { return left_.empty(); }

  template <class T>
  bool get(T& value) {
    if constexpr (HasFields<T>) {
      return std::apply([this](auto&... each) { return (this->get(each) && ...); }, fields(value));
    } else {
      static_assert(std::is_trivially_copyable_v<T>);
      if (left_.size() < sizeof value) return false;
      std::memcpy(&value, left_.data(), sizeof value);
      left_.remove_prefix(sizeof value);
      return true;
    }
  }
  bool get(std::string& value) {
    std::size_t size = 0;
    if (!get(size) || size > left_.size()) return false;
    value.assign(left_.substr(0, size));
    left_.remove_prefix(size);
    return true;
  }
  template <class T>
  bool get(std::vector<T>& values) {
    std::size_t size = 0;
    if (!get(size) || size > left_.size()) return false;  // each takes an octet at least
    if constexpr (std::same_as<T, Port>) {
      values.resize(size, Port(0));
    } else {
      values.resize(size);
    }
    for (T& value : values) {
      if (!get(value)) return false;
    }
    return true;
  }
  template <class A, class B>
  bool get(std::pair<A, B>& value) {
    return get(value.first) && get(value.second);
  }
  template <class T>
  bool get(std::optional<T>& value) {
    bool there = false;
    if (!get(there)) return false;
    value.reset();
    return !there || get(value.emplace());
  }

 private:
  std::string_view left_;
};

// Until there is nobody left who could say more.
bool wait_for_end(int fd) {
  char octet = 0;
  ssize_t size = -1;
  do {
    size = ::read(fd, &octet, 1);
  } while (size < 0 && errno == EINTR);
  return size == 0;
}

// They were for P, are blocked here, and would reach the command later. (The others end P, and may
// come when P already waits for the command, whose they are then.)
void forget_stops() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTSTP);
  sigaddset(&signals, SIGCONT);
  const timespec now = {};
  while (::sigtimedwait(&signals, nullptr, &now) > 0) {
  }
}

// More than the kernel takes for a command by default: a quarter of a stack of 8 MiB (execve(2)).
// What is not written takes no memory.
constexpr std::size_t memory_size = std::size_t{8} * 1024 * 1024;
constexpr std::size_t size_at = sizeof(std::size_t);  // behind what is known
constexpr std::size_t plan_at = 2 * sizeof(std::size_t);

}  // namespace

std::string to_bytes(const Prepared& prepared) {
  Writer writer;
  writer.put(prepared.plan);
  writer.put(prepared);
  return writer.take();
}

bool from_bytes(std::string_view bytes, SandboxPlan& plan, Prepared& prepared) {
  Reader reader(bytes);
  if (!reader.get(plan) || !reader.get(prepared) || !reader.at_end()) return false;
  prepared.argv = pointers_to(plan.argv);
  prepared.envp = pointers_to(plan.env);
  return true;
}

void PlanLine::Unmap::operator()(char* memory) const {
  ::munmap(memory, memory_size);
}

std::optional<PlanLine> PlanLine::make() {
  PlanLine line;
  constexpr int kind = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, kind, -1, 0);
  if (memory == MAP_FAILED) return std::nullopt;
  line.memory_.reset(static_cast<char*>(memory));
  std::tie(line.hears_, line.tells_) = make_pipe();
  if (!line.hears_) return std::nullopt;
  return line;
}

bool PlanLine::tell(std::string_view plan) {
  const std::size_t size = plan.size();
  if (size > memory_size - plan_at) return false;
  std::memcpy(memory_.get() + plan_at, plan.data(), size);
  std::memcpy(memory_.get() + size_at, &size, sizeof size);
  tells_.reset();
  return true;
}

void PlanLine::know_every_port() const {
  std::atomic_ref<char>(*memory_).store(1, std::memory_order_relaxed);
}

bool PlanLine::knows_every_port() const {
  return std::atomic_ref<char>(*memory_).load(std::memory_order_relaxed) == 1;
}

// Not the other end: in these processes its number is another's by now.
std::string PlanLine::hear() {
  std::size_t size = 0;
  if (wait_for_end(hears_.get())) std::memcpy(&size, memory_.get() + size_at, sizeof size);
  std::string plan(memory_.get() + plan_at, size);
  memory_.reset();
  hears_.reset();
  return plan;
}

AwaitedPlan::AwaitedPlan(PlanLine& line) : line_(line) {
  plan_.network = Network::proxied;
  plan_.capture.all_ports = AllPorts::automatic;
  plan_.capture.dns = true;
}

bool AwaitedPlan::wait(Prepared& prepared) {
  const bool told = from_bytes(line_.hear(), plan_, prepared);
  forget_stops();
  return told;
}

bool is_usual(const Prepared& prepared) {
  const SandboxPlan& plan = prepared.plan;
  return plan.backend == Backend::netns && plan.network == Network::proxied && !plan.user &&
         !plan.probe && plan.proxy.http == ProxyEndpoints().http && plan.capture.dns &&
         plan.capture.all_ports != AllPorts::off && !prepared.observer.wanted() &&
         prepared.group.doors().empty();
}

}  // namespace nono::sandbox
