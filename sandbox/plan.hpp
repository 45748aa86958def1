#pragma once
// What the sandbox is to do, prepared whole in the parent, and the handle to what was started.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/endpoints.hpp"
#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "sandbox/ahead.hpp"
#include "sandbox/backend.hpp"

namespace nono::sandbox {

struct FsGrant {
  std::string path;  // absolute, canonical
  bool read = false;
  bool write = false;
  bool directory = true;
  bool despite_deny = false;  // may lie in a denied path, and shows through where that is hidden
  bool socket = false;        // a Unix socket to connect to; needs UnixSockets::inside
};

enum class UnixSockets : std::uint8_t {
  denied,  // no socket of that family can be made
  inside,  // stream and seqpacket ones, to listen and connect within the sandbox and to what is
           // granted; start() hides every other that it finds, and whole trees that nothing grants
};

struct FsDeny {
  std::string path;    // absolute, canonical; need not exist
  std::string origin;  // group or flag, for messages
  // Nothing runs where it is in a writable grant and does not exist, so cannot be hidden.
  bool essential = false;
};

enum class Network : std::uint8_t {
  open,     // the host's network namespace; internet sockets are not filtered
  proxied,  // own network namespace, listeners handed out
  blocked,  // own network namespace, no listener at all
};

enum class AllPorts : std::uint8_t {
  off,        // only the ports that are listed
  automatic,  // every port where the kernel can redirect them (TPROXY), otherwise those listed
  required,   // every port, or start() fails
};

// Which connections that do not go to the proxy are caught, in Network::proxied. What is not caught
// is refused.
struct Capture {
  std::vector<Port> ports;  // listened on at every address, unless every port is redirected
  AllPorts all_ports = AllPorts::off;  // redirecting spares 127.0.0.0/8 and ::1
  std::vector<Port> loopback_ports;    // listened on in any case, for connections to loopback
  bool dns = false;                    // UDP and TCP 53 at every address
  bool every_port_known = false;       // they can be redirected here: not tried unless required
};

class RegisteredPorts;

// Of all the command's processes together.
struct ResourceLimits {
  std::optional<std::uint64_t> memory_bytes;  // not to be swapped out; what exceeds it is killed
  std::optional<unsigned> processes;          // threads count
};

// Whom the command runs as, where the caller is root.
struct RunUser {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct SandboxPlan {
  Backend backend = Backend::netns;
  std::vector<Weakness> accepted;  // of the notify backend
  std::vector<Port> listen_ports;  // the same: where the command may listen on the host's 127.0.0.1
  std::vector<std::string> argv;   // argv[0] as the command sees it
  std::string executable;          // resolved absolute path
  std::vector<std::string> env;    // NAME=VALUE, complete
  std::string cwd;                 // start directory
  ResourceLimits limits;
  std::optional<RunUser> user;  // no other group; absent: whoever calls
  std::vector<FsGrant> grants;
  std::vector<FsDeny> denies;
  std::vector<std::string>
      read_only_paths;      // policy files: never writable even under a writable grant
  bool private_tmp = true;  // fresh /tmp, /var/tmp, /dev/shm, runtime directory
  UnixSockets unix_sockets = UnixSockets::denied;
  Network network = Network::proxied;
  ProxyEndpoints proxy;
  Capture capture;
  bool diagnose = false;  // note the files that were wanted and not granted; slower, no less strict
  // Runs in place of the command, inside the finished sandbox; its result is the exit code. For the
  // self-check and for tests: argv and executable are then not used.
  std::function<int()> probe;
};

// A file that the command wanted and did not get.
struct DeniedPath {
  enum class Access : std::uint8_t {
    read,   // or execute
    write,  // what it holds
    make,   // or remove, or rename: its folder changes
  };
  std::string path;
  Access access = Access::read;
  std::string denied_by;       // the rule that denies it; empty: no grant names it
  bool beside_denied = false;  // its folder holds what is always denied, and is not to be granted
};

// How the command ended, as waitpid tells.
struct ExitStatus {
  int code = 0;  // what `nono run` exits with: the command's own, 128+signal, 125..127
  bool signalled = false;
  bool out_of_memory = false;  // ResourceLimits::memory_bytes was reached, and a process killed
  std::string problem;  // why the command could not be executed (code 126 or 127), otherwise empty
};

// Sockets made inside the sandbox's network namespace, handed over by SCM_RIGHTS. Each was checked
// to belong to another namespace than ours.
struct SandboxSockets {
  UniqueFd proxy;  // listening
  // Listening. The own address of a connection accepted here is where its client wanted to go:
  // getsockname(2), an IPv4 address mapped into IPv6.
  std::vector<UniqueFd> captured;
  bool all_ports = false;     // every port is redirected to them
  UniqueFd dns_udp, dns_tcp;  // bound to every address; the second listens
};

// A started sandbox, waiting for go(). Destroying it before go() ends it; destroying it later kills
// what is left. Used from one thread.
class SandboxChannel {
 public:
  virtual ~SandboxChannel() = default;
  // All empty unless Network::proxied.
  virtual SandboxSockets take_sockets() = 0;
  // Before they are taken: every port is redirected to them.
  virtual bool captures_every_port() const { return false; }
  // Of the notify backend: its sockets stand on the host's loopback. A connection accepted there is
  // the command's only if it is registered here, and where it wanted to go is what was registered.
  // Null in other backends.
  virtual std::shared_ptr<RegisteredPorts> registered_ports() const { return nullptr; }
  // What could be had only in part, as sentences for the user.
  virtual std::vector<std::string> warnings() const { return {}; }
  // False where any program of the machine can reach the sockets, so that a token has to identify
  // ours.
  virtual bool listeners_are_private() const { return true; }
  // The command has our own terminal and is in our job. Once it was stopped, this process is, too
  // (SIGSTOP): take SIGTSTP then, or a shell goes on before the command has let go of the terminal,
  // and the two read each other's lines.
  virtual bool shares_terminal() const { return false; }
  // Readable or hung up once wait() will not block; owned by this.
  virtual int ended_fd() const = 0;
  // Before go(): variables of the plan's environment that the command is not to get after all. An
  // error where that cannot be done any more; then do not go().
  virtual Result<void> withhold(const std::vector<std::string>& names);
  virtual Result<void> go() = 0;  // lets the command start
  // Forwards a signal to the command. A terminal's signals (Ctrl-C, Ctrl-Z) reach it anyway:
  // forward what another process sent to us (si_code <= 0), SIGCONT among it, unless it came from
  // the sandbox: that says what the command did already.
  virtual Result<void> signal(int number) = 0;
  virtual bool is_ours(pid_t sender) const = 0;

  // Sockets for connections towards the command's own servers: TCP, made inside the sandbox's
  // network namespace once the command runs. Each one that was asked for is brought, or said not to
  // come, in the order of asking. False: the sandbox has ended, or is too busy.
  virtual bool ask_for_inner_socket(bool v6) = 0;
  struct InnerSocket {
    enum class State : std::uint8_t {
      none_yet,
      one,
      none,  // this one could not be made
      over,  // the sandbox has ended
    };
    State state = State::none_yet;
    UniqueFd socket;  // not connected, non-blocking
  };
  virtual InnerSocket take_inner_socket() = 0;
  // Readable when take_inner_socket() has something to say; owned by this.
  virtual int inner_sockets_fd() const = 0;

  // Blocks until the command has ended and nothing of it is alive: no process, and nothing of its
  // output on the way. An error says what set-up step failed.
  virtual Result<ExitStatus> wait() = 0;
  // After wait(), with SandboxPlan::diagnose: each once. Empty where it is not supported.
  virtual std::vector<DeniedPath> denied_paths() const { return {}; }
};

inline Result<void> SandboxChannel::withhold(const std::vector<std::string>& names) {
  if (names.empty()) return {};
  return fail(ErrorCode::not_supported,
              "the variable " + names.front() + " holds a key that the command must not see",
              "unset it: env -u " + names.front() + " nono run ...");
}

// Forks the launcher. Must be called while the process has one thread, and before it changes signal
// dispositions (SIGPIPE) or its signal mask: the command gets those of this call. Afterwards this
// process is not dumpable (prctl(2), PR_SET_DUMPABLE), so nothing secret may be read before.
//
// Errors: not_supported with the missing thing and the remedy (exit 125), bad_input for a plan that
// contradicts itself (a grant at or below a denied path). A denied path that lies inside a grant is
// hidden by a mount over it, where it exists; it can be neither read, removed, renamed nor
// replaced, and the directories between it and the grant cannot be moved.
//
// Where standard input, output or error is a terminal, the command gets one of its own in its
// place, in a session of its own: ours cannot be reached from inside. It is copied to and from, in
// raw mode while the command has the keys, and restored however the run ends, but for this
// process's own sudden death. Where none is a terminal the command stays in our session and process
// group.
//
// Always there without a grant: a fresh read-only /proc, /dev/{null,zero,full,random,urandom,tty},
// an own /dev/pts, and the private temporary directories. Grants at or below /proc and /dev/pts
// mean nothing more.
//
// The notify backend has no private /proc, /dev/pts and temporary directories: its command gets a
// directory of its own in TMPDIR, and makes no terminals.
//
// Where `ahead` suits the plan the sandbox is made of that, otherwise it is ended.
Result<std::unique_ptr<SandboxChannel>> start(const SandboxPlan& plan, Ahead ahead = {});

}  // namespace nono::sandbox
