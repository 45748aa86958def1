#pragma once
// What the escape programs share. Each tries one way out of a sandbox and says how it went; whether
// anything really got out is judged by the canaries outside, not by these words.

#include <netinet/in.h>
#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "config/base/fd.hpp"

namespace escape {

using nono::UniqueFd;

// Where the canaries are: KEY=VALUE words of the command line.
class Settings {
 public:
  explicit Settings(const std::vector<std::string>& words);
  // Throws std::runtime_error when the word was not given.
  const std::string& text(const std::string& key) const;
  int number(const std::string& key) const;
  // "tcp4=127.1.2.3:80", "tcp6=[::1]:80"; mapped: the IPv4 one as ::ffff:127.1.2.3.
  sockaddr_in v4(const std::string& key) const;
  sockaddr_in6 v6(const std::string& key) const;
  sockaddr_in6 mapped(const std::string& key) const;

 private:
  std::map<std::string, std::string> words_;
};

// What shows that an escape succeeded.
enum class Proof {
  hit,    // a canary was told the escape's message
  read,   // the secret stands in its output
  state,  // something of the host's has changed, which the test looks at
  word,   // nothing but the program's own word
};

struct Outcome {
  bool escaped = false;
  std::string detail;  // what was read, or which step failed and why
};

// What an attempt works with; `message` names the escape, and is what canaries are told.
struct Attempt {
  const Settings& where;
  std::string message;
};

struct Escape {
  const char* name;
  Proof proof;
  Outcome (*run)(const Attempt&);
  const char* needs = nullptr;  // what a machine or a user may lack; otherwise it must work bare
};

using Family = std::vector<Escape>;

// One file each.
Family tcp_family();
Family udp_family();
Family socket_family();
Family netlink_family();
Family uring_family();
Family foreign_abi_family();
Family unix_family();
Family memory_family();
Family process_family();
Family namespace_family();
Family inbound_family();
Family terminal_family();
Family file_family();
Family descriptor_family();
Family race_family();

// Not attempts but what stands around them; each returns an exit code.
int be_victim(const Settings& where);             // a process of the same user with a secret
int be_orphan(const Settings& where);             // outlives its parent if it can
int linger(const Settings& where);                // reaches for the canaries until it is killed
int flood(const std::string& kind, int count);    // at the sandbox's proxy
int wrap(const std::vector<std::string>& words);  // sets something up, then becomes a command

Outcome blocked(const std::string& step);  // with errno's text
Outcome reached(std::string what);

// The rest of an attempt over a connected socket: the message is sent.
Outcome tell(int socket, const std::string& message);
template <class Address>
const sockaddr* generic(const Address& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}
template <class Address>
Outcome connect_and_tell(const UniqueFd& socket, const Address& address,
                         const std::string& message);
Outcome connect_and_tell(const UniqueFd& socket, const sockaddr* address, socklen_t size,
                         const std::string& message);
std::string read_file(const std::string& path);  // empty, with errno set, if it cannot be read
std::string read_some(int fd);
bool write_file(const std::string& path, const std::string& text);
// Waits at most a second for `events` of poll(2).
bool wait_for(int fd, short events);

template <class Address>
Outcome connect_and_tell(const UniqueFd& socket, const Address& address,
                         const std::string& message) {
  return connect_and_tell(socket, generic(address), sizeof address, message);
}

}  // namespace escape
