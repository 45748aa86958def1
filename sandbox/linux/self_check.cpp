#include "sandbox/self_check.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <string_view>

#include "config/base/fd.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/self_escapes.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds check_deadline{30};

// Results travel through pipes as text: fields and records end with control characters.
constexpr char field_end = '\x1f';
constexpr char record_end = '\x1e';

void print(const CheckResult& result) {
  std::string record = fmt::format("{}{}{}{}{}{}{}{}", result.name, field_end, result.ok ? 1 : 0,
                                   field_end, result.detail, field_end, result.remedy, record_end);
  std::string_view left = record;
  while (!left.empty()) {
    ssize_t size = ::write(STDOUT_FILENO, left.data(), left.size());
    if (size <= 0) return;
    left.remove_prefix(static_cast<std::size_t>(size));
  }
}

std::string take_until(std::string_view& text, char end) {
  std::size_t at = std::min(text.find(end), text.size());
  std::string part(text.substr(0, at));
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

std::vector<CheckResult> parse(std::string_view text) {
  std::vector<CheckResult> results;
  while (text.find(record_end) != std::string_view::npos) {
    std::string record = take_until(text, record_end);
    std::string_view fields = record;
    CheckResult result;
    result.name = take_until(fields, field_end);
    result.ok = take_until(fields, field_end) == "1";
    result.detail = take_until(fields, field_end);
    result.remedy = fields;
    results.push_back(std::move(result));
  }
  return results;
}

// The checker's own ends outside the sandbox, and the files it lets the sandbox see.
class Canaries {
 public:
  Result<void> set_up();
  ~Canaries();

  EscapeTargets targets() const;
  const std::string& directory() const { return directory_; }
  bool any_was_hit() const;

 private:
  Result<UniqueFd> bind_loopback(int type, std::uint16_t& port);
  Result<void> bind_unix();

  std::string directory_;
  std::string file_;
  std::string socket_path_;
  UniqueFd tcp_;
  UniqueFd udp_;
  UniqueFd unix_;
  std::uint16_t tcp_port_ = 0;
  std::uint16_t udp_port_ = 0;
};

Result<UniqueFd> Canaries::bind_loopback(int type, std::uint16_t& port) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  bool bound = socket && ::bind(socket.get(), generic, size) == 0 &&
               (type != SOCK_STREAM || ::listen(socket.get(), SOMAXCONN) == 0) &&
               ::getsockname(socket.get(), generic, &size) == 0;
  if (!bound) return fail(errno_error(errno, "cannot listen on loopback for the self-check"));
  port = ntohs(address.sin_port);
  return socket;
}

Result<void> Canaries::bind_unix() {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket_path_.copy(address.sun_path, sizeof address.sun_path - 1);
  unix_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  bool bound = unix_ &&
               ::bind(unix_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
               ::listen(unix_.get(), SOMAXCONN) == 0;
  if (!bound) return fail(errno_error(errno, "cannot listen on " + socket_path_));
  return {};
}

Result<void> Canaries::set_up() {
  std::string name = "/tmp/nono-check-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return fail(errno_error(errno, name));
  directory_ = name;
  file_ = directory_ + "/file";
  socket_path_ = directory_ + "/socket";
  UniqueFd file(::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail(errno_error(errno, file_));
  if (Result<void> bound = bind_unix(); !bound) return bound;
  Result<UniqueFd> tcp = bind_loopback(SOCK_STREAM, tcp_port_);
  if (!tcp) return fail(tcp.error());
  Result<UniqueFd> udp = bind_loopback(SOCK_DGRAM, udp_port_);
  if (!udp) return fail(udp.error());
  tcp_ = std::move(*tcp);
  udp_ = std::move(*udp);
  return {};
}

Canaries::~Canaries() {
  if (directory_.empty()) return;
  ::unlink(file_.c_str());
  ::unlink(socket_path_.c_str());
  ::rmdir(directory_.c_str());
}

EscapeTargets Canaries::targets() const {
  EscapeTargets targets;
  targets.tcp_port = tcp_port_;
  targets.udp_port = udp_port_;
  targets.unix_socket = socket_path_;
  targets.readable_file = file_;
  targets.ungranted_file = "/etc/passwd";
  return targets;
}

bool Canaries::any_was_hit() const {
  UniqueFd stream(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  UniqueFd local(::accept4(unix_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  char byte = 0;
  bool datagram = ::recv(udp_.get(), &byte, 1, 0) >= 0;
  return stream || local || datagram;
}

void print_failure(const std::string& name, const Error& error) {
  print({name, false, error.what, error.fix});
}

const char* parts_of(Backend backend) {
  return backend == Backend::netns ? "user, network, mount and pid namespaces, Landlock, seccomp"
                                   : "Landlock, seccomp, a supervisor for connections";
}

// In a process of its own, whose standard output is the pipe to the caller.
void check_in_child(Backend backend) {
  Canaries canaries;
  if (Result<void> made = canaries.set_up(); !made) {
    return print_failure("the self-check can be set up", made.error());
  }
  SandboxPlan plan;
  plan.backend = backend;
  plan.cwd = "/";
  plan.grants.push_back({canaries.directory(), true, false, true});
  EscapeTargets targets = canaries.targets();
  targets.proxy_port = plan.proxy.http.value();
  targets.mounts = backend == Backend::netns;
  plan.probe = [&] {
    for (const CheckResult& result : try_escapes(targets)) print(result);
    return 0;
  };

  const std::string built = "a sandbox can be built";
  Result<std::unique_ptr<SandboxChannel>> channel = start(plan);
  if (!channel) return print_failure(built, channel.error());
  if (Result<void> gone = (*channel)->go(); !gone) return print_failure(built, gone.error());
  Result<ExitStatus> ended = (*channel)->wait();
  if (!ended) return print_failure(built, ended.error());
  bool whole = ended->code == 0;
  print({built,
         whole,
         whole ? parts_of(backend) : fmt::format("the program in it ended with {}", ended->code),
         {}});
  bool silent = !canaries.any_was_hit();
  print({"nothing sent past the proxy arrived outside", silent,
         silent ? "TCP, TCP fast open, UDP and Unix sockets tried" : "something arrived",
         silent ? "" : "do not run untrusted programs on this machine, and report it"});
}

// What the child writes until it ends; stops reading at the deadline.
std::string read_until_end(int fd) {
  std::string text;
  std::array<char, 4096> block;
  Clock::time_point deadline = Clock::now() + check_deadline;
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return text;
    pollfd poll = {fd, POLLIN, 0};
    if (::poll(&poll, 1, static_cast<int>(left.count())) <= 0) continue;
    ssize_t size = ::read(fd, block.data(), block.size());
    if (size <= 0) return text;
    text.append(block.data(), static_cast<std::size_t>(size));
  }
}

[[noreturn]] void run_child(const std::function<void()>& check, int output) {
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(null.get(), STDERR_FILENO);
  check();
  ::_exit(0);
}

// What `check` prints in a process of its own.
Result<std::vector<CheckResult>> results_of(const std::function<void()>& check) {
  auto [read_end, write_end] = make_pipe();
  if (!read_end) return fail(errno_error(errno, "self-check"));
  pid_t child = ::fork();
  if (child < 0) return fail(errno_error(errno, "self-check"));
  if (child == 0) run_child(check, write_end.get());
  write_end.reset();
  std::string text = read_until_end(read_end.get());
  ::kill(child, SIGKILL);  // has ended already, but at the deadline; its sandbox goes with it
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  std::vector<CheckResult> results = parse(text);
  if (results.empty()) return fail(ErrorCode::internal, "the self-check ended without a result");
  return results;
}

// A port and an address that no rule names and nobody has (RFC 5737).
sockaddr_in anywhere() {
  constexpr std::uint16_t port = 54321;
  constexpr std::uint32_t address = 0xc0000207;  // 192.0.2.7
  sockaddr_in place = {};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(address);
  return place;
}

int connect_anywhere() {
  const sockaddr_in place = anywhere();
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&place), sizeof place) == 0
             ? 0
             : errno;
}

// Whether a connection waits at one of the listeners that was meant for there.
bool arrived_from_anywhere(const std::vector<UniqueFd>& listeners) {
  const sockaddr_in place = anywhere();
  for (const UniqueFd& listener : listeners) {
    pollfd waiting = {listener.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 0) != 1) continue;
    UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    sockaddr_in own = {};
    socklen_t size = sizeof own;
    if (::getsockname(accepted.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
        own.sin_port == place.sin_port && own.sin_addr.s_addr == place.sin_addr.s_addr) {
      return true;
    }
  }
  return false;
}

void capture_in_child() {
  const std::string name = "capture of every port (TPROXY)";
  SandboxPlan plan;
  plan.cwd = "/";
  plan.capture.all_ports = AllPorts::required;
  plan.probe = connect_anywhere;
  Result<std::unique_ptr<SandboxChannel>> channel = start(plan);
  if (!channel) return print_failure(name, channel.error());
  const SandboxSockets sockets = (*channel)->take_sockets();
  if (Result<void> gone = (*channel)->go(); !gone) return print_failure(name, gone.error());
  Result<ExitStatus> ended = (*channel)->wait();
  if (!ended) return print_failure(name, ended.error());
  const bool works = ended->code == 0 && arrived_from_anywhere(sockets.captured);
  print({name, works,
         works ? "a connection to 192.0.2.7:54321 was caught"
               : fmt::format("a connection did not arrive ({})", std::strerror(ended->code)),
         works ? "" : "use --capture-all-ports=off"});
}

}  // namespace

Result<SelfCheck> self_check(Backend backend) {
  SelfCheck check;
  utsname system = {};
  if (::uname(&system) == 0) check.kernel = system.release;
  check.landlock_abi = landlock_abi();
  Result<std::vector<CheckResult>> results = results_of([backend] { check_in_child(backend); });
  if (!results) return fail(results.error());
  check.checks = std::move(*results);
  check.can_enforce = std::all_of(check.checks.begin(), check.checks.end(),
                                  [](const CheckResult& result) { return result.ok; });
  return check;
}

Result<CheckResult> check_capture_of_every_port() {
  Result<std::vector<CheckResult>> results = results_of(capture_in_child);
  if (!results) return fail(results.error());
  return results->front();
}

}  // namespace nono::sandbox
