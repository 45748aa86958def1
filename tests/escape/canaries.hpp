#pragma once
// What must not be reached from inside a sandbox: listeners of this process that remember what they
// were told, and a victim process of the sandboxed user with a secret in everything it has.

#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::testing {

// TCP, UDP, UDP-Lite, VSOCK and Unix sockets. Connections wait in the kernel's queues until asked
// for, so that no thread is needed.
class Listeners {
 public:
  // Unix sockets lie in `folder` and belong to `owner`.
  Listeners(const std::string& folder, const std::string& token, std::optional<uid_t> owner);
  std::vector<std::string> words() const { return words_; }  // KEY=VALUE, for the programs
  // First words of all that arrived since the last call with the token behind it.
  std::set<std::string> hits();

 private:
  struct Socket {
    UniqueFd fd;
    bool accepts;
  };
  void add(UniqueFd fd, bool accepts, const std::string& key, const std::string& place);
  void add_internet(const char* key, int family, int type, int protocol, const std::string& host,
                    std::uint16_t port);
  void add_unix(const char* key, int type, const std::string& place, bool abstract);
  void add_vsock();
  void note(const std::string& text, std::set<std::string>& hits) const;

  std::string token_;
  std::optional<uid_t> owner_;
  std::vector<std::string> words_;
  std::vector<Socket> sockets_;
};

// `escape_programs victim`, and what it left in the machine; all of it goes at the end.
class Victim {
 public:
  Victim(const std::string& programs, const std::string& outside, const std::string& secret,
         const std::string& token, std::optional<uid_t> user);
  ~Victim();
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  std::vector<std::string> words() const;
  std::set<std::string> hits() const;     // signals that arrived, messages in its queue
  std::set<std::string> changes() const;  // of its limits and priorities

 private:
  struct Condition;
  Condition condition() const;
  int number(const std::string& key) const;

  std::string queue_name_, secret_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<Condition> before_;
};

// Lines "HIT name" of a program's output.
std::set<std::string> hits_in(const std::string& output);

}  // namespace nono::testing
