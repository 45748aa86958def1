#include "tests/escape/canaries.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "config/base/endpoints.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

constexpr int backlog = 64;

template <class Address>
sockaddr* generic(Address& address) {
  return static_cast<sockaddr*>(static_cast<void*>(&address));
}

std::string received(int fd) {
  std::array<char, 4096> block;
  const ssize_t size = ::recv(fd, block.data(), block.size(), MSG_DONTWAIT);
  return size <= 0 ? std::string() : std::string(block.data(), static_cast<std::size_t>(size));
}

}  // namespace

Listeners::Listeners(const std::string& folder, const std::string& token,
                     std::optional<uid_t> owner)
    : token_(token), owner_(owner) {
  const std::string own = random_loopback();
  const std::uint16_t proxy_port = ProxyEndpoints{}.http.value();
  add_internet("tcp4", AF_INET, SOCK_STREAM, 0, own, 0);
  add_internet("allowed4", AF_INET, SOCK_STREAM, 0, own, proxy_port);
  add_internet("decoy4", AF_INET, SOCK_STREAM, 0, random_loopback(), 0);
  add_internet("udp4", AF_INET, SOCK_DGRAM, 0, own, 0);
  add_internet("udplite4", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, own, 0);
  add_internet("tcp6", AF_INET6, SOCK_STREAM, 0, "::1", 0);
  add_internet("udp6", AF_INET6, SOCK_DGRAM, 0, "::1", 0);
  add_unix("unix-stream", SOCK_STREAM, folder + "/stream.socket", false);
  add_unix("unix-dgram", SOCK_DGRAM, folder + "/dgram.socket", false);
  add_unix("unix-seqpacket", SOCK_SEQPACKET, folder + "/seqpacket.socket", false);
  add_unix("abstract-stream", SOCK_STREAM, "nono-stream-" + token, true);
  add_unix("abstract-dgram", SOCK_DGRAM, "nono-dgram-" + token, true);
  add_vsock();
  words_.push_back("spare-address=" + random_loopback());
}

void Listeners::add(UniqueFd fd, bool accepts, const std::string& key, const std::string& place) {
  if (accepts && ::listen(fd.get(), backlog) != 0) throw std::runtime_error("listen for " + key);
  words_.push_back(key + "=" + place);
  sockets_.push_back(Socket{std::move(fd), accepts});
}

// A family or protocol that the kernel lacks has no canary; its word then leads nowhere.
void Listeners::add_internet(const char* key, int family, int type, int protocol,
                             const std::string& host, std::uint16_t port) {
  UniqueFd fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  sockaddr_in6 address = {};
  auto* v4 = static_cast<sockaddr_in*>(static_cast<void*>(&address));
  address.sin6_family = static_cast<sa_family_t>(family);
  address.sin6_port = htons(port);  // at the same place in both families
  const bool v6 = family == AF_INET6;
  if (v6) {
    ::inet_pton(AF_INET6, host.c_str(), &address.sin6_addr);
  } else {
    ::inet_pton(AF_INET, host.c_str(), &v4->sin_addr);
  }
  socklen_t size = v6 ? sizeof address : sizeof *v4;
  const std::string shown = v6 ? "[" + host + "]" : host;
  if (!fd || ::bind(fd.get(), generic(address), size) != 0) {
    words_.push_back(std::string(key) + "=" + shown + ":9");
    return;
  }
  ::getsockname(fd.get(), generic(address), &size);
  const std::string place = shown + ":" + std::to_string(ntohs(address.sin6_port));
  add(std::move(fd), type == SOCK_STREAM, key, place);
}

void Listeners::add_unix(const char* key, int type, const std::string& place, bool abstract) {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::size_t from = abstract ? 1 : 0;
  if (place.size() + from + 1 > sizeof address.sun_path) throw std::runtime_error("long " + place);
  place.copy(address.sun_path + from, place.size());
  const std::size_t length = offsetof(sockaddr_un, sun_path) + place.size() + 1;
  if (::bind(fd.get(), generic(address), static_cast<socklen_t>(length)) != 0) {
    throw std::runtime_error("bind " + place);
  }
  if (!abstract && owner_ && ::chown(place.c_str(), *owner_, *owner_) != 0) {
    throw std::runtime_error("chown " + place);
  }
  add(std::move(fd), type != SOCK_DGRAM, key, place);
}

// Reachable from this machine alone, where its kernel has such a loopback.
void Listeners::add_vsock() {
  UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_LOCAL;
  address.svm_port = VMADDR_PORT_ANY;
  socklen_t size = sizeof address;
  if (!fd || ::bind(fd.get(), generic(address), size) != 0 || ::listen(fd.get(), 1) != 0) {
    words_.push_back("vsock=0");
    return;
  }
  ::getsockname(fd.get(), generic(address), &size);
  add(std::move(fd), true, "vsock", std::to_string(address.svm_port));
}

// Text that does not hold the token comes from somebody else on this machine. What stands before
// the name is a header.
void Listeners::note(const std::string& text, std::set<std::string>& hits) const {
  const std::size_t token = text.find(" " + token_);
  if (token == std::string::npos) return;
  std::size_t begin = token;
  while (begin > 0 && (text[begin - 1] == '-' || ::isalnum(text[begin - 1]) != 0)) --begin;
  hits.insert(text.substr(begin, token - begin));
}

std::set<std::string> Listeners::hits() {
  std::set<std::string> found;
  for (const Socket& socket : sockets_) {
    if (!socket.accepts) {
      for (std::string text = received(socket.fd.get()); !text.empty();) {
        note(text, found);
        text = received(socket.fd.get());
      }
      continue;
    }
    for (;;) {
      const UniqueFd caller(::accept4(socket.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!caller) break;
      note(received(caller.get()), found);
    }
  }
  return found;
}

std::set<std::string> hits_in(const std::string& output) {
  std::set<std::string> found;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("HIT ")) continue;
    std::istringstream words(line);
    std::string name;
    words >> name >> name;
    found.insert(name);
  }
  return found;
}

// Of the victim, as the kernel tells it to anybody.
struct Victim::Condition {
  cpu_set_t processors = {};
  int priority = 0, scheduler = 0;
  long disk_priority = 0;
  std::string oom_score, limits;
};

Victim::Victim(const std::string& programs, const std::string& outside, const std::string& secret,
               const std::string& token, std::optional<uid_t> user)
    : queue_name_("/nono-" + token), secret_(secret) {
  Command command;
  command.argv = {programs, "victim", "secret=" + secret, "outside=" + outside,
                  "posix-queue=" + queue_name_};
  command.env = {{"CANARY", secret}};
  command.user = user;
  process_ = std::make_unique<Process>(command);
  if (!process_->wait_for("victim=")) throw std::runtime_error("no victim: " + process_->err());
  before_ = std::make_unique<Condition>(condition());
}

Victim::~Victim() {
  ::shmctl(number("segment"), IPC_RMID, nullptr);
  ::msgctl(number("queue"), IPC_RMID, nullptr);
  ::mq_unlink(queue_name_.c_str());
}

int Victim::number(const std::string& key) const {
  for (const std::string& word : words()) {
    if (word.starts_with(key + "=")) return std::stoi(word.substr(key.size() + 1));
  }
  return -1;
}

std::vector<std::string> Victim::words() const {
  std::vector<std::string> words = {"posix-queue=" + queue_name_};
  std::istringstream lines(process_->out());
  for (std::string line; std::getline(lines, line);) {
    if (line.find('=') != std::string::npos) words.push_back(line);
  }
  return words;
}

std::set<std::string> Victim::hits() const {
  std::set<std::string> found = hits_in(process_->out());
  const UniqueFd queue(::mq_open(queue_name_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  std::array<char, 8192> block;
  while (queue) {
    const ssize_t size = ::mq_receive(queue.get(), block.data(), block.size(), nullptr);
    if (size <= 0) break;
    const std::string text(block.data(), static_cast<std::size_t>(size));
    if (text.find(secret_) == std::string::npos) found.insert(text.substr(0, text.find(' ')));
  }
  return found;
}

Victim::Condition Victim::condition() const {
  const pid_t pid = process_->pid();
  Condition now;
  ::sched_getaffinity(pid, sizeof now.processors, &now.processors);
  now.priority = ::getpriority(PRIO_PROCESS, static_cast<id_t>(pid));
  now.scheduler = ::sched_getscheduler(pid);
  constexpr int who_process = 1;
  now.disk_priority = ::syscall(SYS_ioprio_get, who_process, pid);
  now.oom_score = read_file("/proc/" + std::to_string(pid) + "/oom_score_adj");
  now.limits = read_file("/proc/" + std::to_string(pid) + "/limits");
  return now;
}

std::set<std::string> Victim::changes() const {
  const Condition now = condition();
  std::set<std::string> changed;
  if (now.limits != before_->limits) changed.insert("prlimit");
  if (CPU_EQUAL(&now.processors, &before_->processors) == 0) changed.insert("affinity");
  if (now.priority != before_->priority) changed.insert("renice");
  if (now.scheduler != before_->scheduler) changed.insert("scheduler");
  if (now.disk_priority != before_->disk_priority) changed.insert("ionice");
  if (now.oom_score != before_->oom_score) changed.insert("oom-score");
  return changed;
}

}  // namespace nono::testing
