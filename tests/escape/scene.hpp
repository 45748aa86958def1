#pragma once
// One run of one family of escapes: a home with a project that the sandbox may use and a folder
// beside it that it may not, canaries, and what became of them.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/escape/canaries.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::testing {

enum class Network { filtered, blocked, open };

// Where a family is tried.
struct Confinement {
  bool bare = false;    // in no sandbox at all
  std::string backend;  // as --backend takes it; empty where the binary has no such flag
  Network network = Network::filtered;
  bool diagnose = false;  // which watches, and must weaken nothing
  std::string name() const;
};

// Each backend that this binary has, with that network.
std::vector<Confinement> confinements(Network network = Network::filtered);

// Root and an ordinary user where the tests run as root, otherwise whoever runs them.
std::vector<std::optional<uid_t>> users();

struct Result {
  std::string proof, needs, detail;
  bool says_escaped = false;  // by its own word
  bool escaped = false;       // by the canaries
};

class Scene {
 public:
  explicit Scene(std::optional<uid_t> user);
  ~Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  // The command line that tries `family` there, within `wrap KIND` of the programs.
  Command attempt(const std::string& family, const Confinement& where,
                  const std::string& wrap = "nothing") const;
  // The same for any command.
  Command command(const std::vector<std::string>& words, const Confinement& where,
                  const std::string& wrap = "nothing") const;
  std::map<std::string, Result> results(const Finished& finished);

  void note_hit(const std::string& name) { hits_.insert(name); }
  const std::string& programs() const { return programs_; }
  const std::string& project() const { return project_; }
  const std::string& token() const { return token_; }
  std::vector<std::string> words(const Confinement& where) const;
  Listeners& listeners() { return *listeners_; }
  // Processes whose command line holds the token, and that are none of the scene's own.
  std::vector<pid_t> left_behind() const;

 private:
  void make_files();
  std::set<std::string> changes() const;

  std::optional<uid_t> user_;
  TempDir dir_;
  std::string token_, secret_, home_, project_, outside_, programs_, nono_;
  std::string shm_file_, tmp_file_;
  std::unique_ptr<Listeners> listeners_;
  std::unique_ptr<Victim> victim_;
  std::set<std::string> hits_;
};

// Tries a family bare and in every confinement as every user: bare each escape succeeds, or says
// what the machine lacks; in a sandbox none does, with a filtered network nor with `other`.
// `while_running` acts on the outside meanwhile.
using WhileRunning = void (*)(Scene& scene, Process& process);
void try_family(const std::string& family, Network other, const std::string& wrap = "nothing",
                WhileRunning while_running = nullptr);

}  // namespace nono::testing
