#pragma once
// What an end-to-end test stands on: a home, a project, a private CA, an origin that answers for
// the vendors' real names, a DNS server that maps those names to it and remembers every question,
// and the real binary. All on a loopback address of this test's own, so that tests run side by
// side.

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::testing {

inline constexpr uid_t ordinary_user = 54321;

class Stage {
 public:
  // Null, with a line "skipped by name: ..." printed, where the machine does not let us: no right
  // to ports below 1024, or to change to `user`.
  static std::unique_ptr<Stage> make(std::optional<uid_t> user = {});

  const std::string& address() const { return address_; }
  const std::string& real_key() const { return real_key_; }
  const std::string& project() const { return project_; }
  const std::string& home() const { return home_; }
  std::string ca_file() const {
    return dir_ / "ca.pem";
  }  // the project holds a copy, for the sandbox
  std::string audit_file() const { return dir_ / "audit.jsonl"; }
  const TempDir& dir() const { return dir_; }
  // Files served below /files/.
  std::string root() const { return dir_ / "root"; }

  // The binary with these arguments, in the project, with a plain environment.
  Command nono(std::vector<std::string> arguments) const;
  // `nono run --allow-cwd`, the origin reachable as the vendors' names, an audit log; then
  // `arguments`.
  Command nono_run(const std::vector<std::string>& arguments) const;
  // --dns-server, --allow-private and --upstream-ca for this stage.
  std::vector<std::string> network_flags() const;

  // Writes a file into the project and returns its path.
  std::string project_file(std::string_view name, std::string_view content) const;
  // Copies tests/e2e/data/NAME into the project.
  std::string project_data(std::string_view name) const;

  std::vector<nlohmann::json> requests() const;  // what the origin received
  std::string questions() const;                 // the DNS server's query log
  bool asked_for(std::string_view name) const;   // was this name ever looked up
  std::vector<nlohmann::json> audit() const;     // parsed audit lines
  std::string audit_text() const;

 private:
  explicit Stage(std::optional<uid_t> user);
  void make_certificates() const;
  void start_origin();
  void start_dns();

  std::optional<uid_t> user_;
  TempDir dir_;
  std::string address_, real_key_, home_, project_, binary_;
  std::unique_ptr<Process> origin_, dns_;
};

// A standalone proxy, listening on the stage's address.
class Proxy {
 public:
  // `nono proxy --listen ADDRESS:0 --audit-log FILE` with the stage's network flags and
  // `arguments`.
  Proxy(const Stage& stage, const std::vector<std::string>& arguments,
        const std::map<std::string, std::string>& env = {});

  std::uint16_t port() const { return port_; }
  std::string authority() const;  // "127.1.2.3:40000"
  std::string url() const;        // with the token as password
  std::string url_without_token() const { return "http://" + authority(); }
  const std::string& token() const { return token_; }
  Process& process() { return *process_; }

 private:
  std::string address_, token_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Process> process_;
};

// Sends bytes and returns all that comes back until the peer closes or the time is over.
std::string raw_exchange(const std::string& address, std::uint16_t port, std::string_view bytes,
                         std::chrono::milliseconds at_most = 15s);

// An address of 127.0.0.0/8 that no other test is likely to draw, and 64 random hex digits.
std::string random_loopback();
std::string random_hex();
std::string base64(std::string_view bytes);

}  // namespace nono::testing
