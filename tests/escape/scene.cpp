#include "tests/escape/scene.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "tests/support/checkout.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

namespace fs = std::filesystem;

// Beside this executable in the build tree.
std::string built_programs() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "escape_programs";
}

std::string binary_under_test() {
  const char* other = std::getenv("NONO_TEST_BINARY");
  return other != nullptr ? other : built_binary();
}

// Escapes that change a file have one of their own to change.
const std::vector<std::string>& files_to_change() {
  static const std::vector<std::string> names = {
      "move-here",           "write",  "truncate", "unlink", "rename", "exchange", "chmod",
      "chmod-by-descriptor", "utimes", "setxattr", "chown"};
  return names;
}

constexpr const char* original = "original content";

bool is_as_it_was(const std::string& path, std::optional<uid_t> user) {
  struct stat info = {};
  if (::lstat(path.c_str(), &info) != 0) return false;
  const uid_t owner = user.value_or(::geteuid());
  return S_ISREG(info.st_mode) && (info.st_mode & 07777) == 0644 && info.st_uid == owner &&
         info.st_mtime > 1000 && info.st_nlink == 1 && read_file(path) == original &&
         ::getxattr(path.c_str(), "user.nono", nullptr, 0) < 0;
}

bool has_address(const std::string& wanted) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return false;
  bool found = false;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    const auto* address =
        static_cast<const sockaddr_in*>(static_cast<const void*>(entry->ifa_addr));
    char text[INET_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
    found = found || wanted == text;
  }
  ::freeifaddrs(list);
  return found;
}

std::string value_of(const std::vector<std::string>& words, const std::string& key) {
  for (const std::string& word : words) {
    if (word.starts_with(key + "=")) return word.substr(key.size() + 1);
  }
  return {};
}

// RESULT name proof escaped|blocked needs detail
std::optional<std::pair<std::string, Result>> parse(const std::string& line) {
  if (!line.starts_with("RESULT\t")) return std::nullopt;
  std::vector<std::string> fields;
  std::istringstream stream(line);
  for (std::string field; std::getline(stream, field, '\t');) fields.push_back(field);
  fields.resize(6);
  Result result;
  result.proof = fields[2];
  result.says_escaped = fields[3] == "escaped";
  result.needs = fields[4];
  result.detail = fields[5];
  return std::pair{fields[1], result};
}

}  // namespace

std::string Confinement::name() const {
  if (bare) return "bare";
  const char* kind = network == Network::open      ? "network open"
                     : network == Network::blocked ? "network blocked"
                                                   : "network filtered";
  const std::string watched = diagnose ? std::string(kind) + ", watched" : kind;
  return backend.empty() ? watched : backend + ", " + watched;
}

// Of the binary under test, which may be an older one.
bool has_flag(const std::string& flag) {
  static const std::string help =
      run({{binary_under_test(), "run", "--help"}, plain_environment("/"), "/", {}, ""}).out;
  return help.find(flag + " ") != std::string::npos;
}

std::vector<Confinement> confinements(Network network) {
  if (!has_flag("--backend")) return {{false, "", network}};
  return {{false, "netns", network}, {false, "notify", network}};
}

std::vector<std::optional<uid_t>> users() {
  if (run({{"true"}, plain_environment("/"), "/", ordinary_user, ""}).code != 0) return {{}};
  return {std::nullopt, ordinary_user};
}

Scene::Scene(std::optional<uid_t> user)
    : user_(user),
      dir_(user),
      token_(random_hex().substr(0, 20)),
      secret_("canary-secret-" + random_hex().substr(0, 24)) {
  home_ = dir_.make_folder("home");
  project_ = dir_.make_folder("home/project");
  outside_ = dir_.make_folder("home/outside");
  // The build tree may lie where another user cannot look; the project is where the sandbox can.
  programs_ = dir_.copy(built_programs(), "home/project/programs");
  nono_ = user ? dir_.copy(binary_under_test(), "bin/nono") : binary_under_test();
  make_files();
  listeners_ = std::make_unique<Listeners>(project_, token_, user);
  victim_ = std::make_unique<Victim>(programs_, outside_, secret_, token_, user);
}

Scene::~Scene() {
  ::unlink(shm_file_.c_str());
  ::unlink(tmp_file_.c_str());
  for (const pid_t pid : left_behind()) ::kill(pid, SIGKILL);
  const std::string address = value_of(listeners_->words(), "spare-address");
  if (has_address(address)) {
    run({{"ip", "address", "delete", address + "/32", "dev", "lo"},
         plain_environment("/"),
         "/",
         {},
         ""});
  }
}

void Scene::make_files() {
  dir_.write("home/outside/secret", secret_, 0600);
  dir_.write("home/outside/" + secret_, "a name that is a secret");
  for (const std::string& name : files_to_change()) {
    dir_.write("home/outside/target-" + name, original);
  }
  shm_file_ = "/dev/shm/nono-" + token_;
  tmp_file_ = "/tmp/nono-" + token_;
  for (const std::string& path : {shm_file_, tmp_file_}) {
    fs::copy_file(outside_ + "/secret", path);
    if (user_ && ::chown(path.c_str(), *user_, *user_) != 0) throw std::runtime_error("chown");
  }
  // Belongs to root, or to the ordinary user where root is who is confined.
  const std::string set_uid = dir_.copy(built_programs(), "home/project/set-uid");
  const uid_t owner = user_ ? 0 : ordinary_user;
  if (::chown(set_uid.c_str(), owner, owner) == 0) ::chmod(set_uid.c_str(), 04755);
}

std::vector<std::string> Scene::words(const Confinement& where) const {
  const bool usual = where.network == Network::filtered && !where.diagnose;
  std::vector<std::string> words = {"token=" + token_,
                                    "key=nono-" + token_,
                                    "outside=" + outside_,
                                    "way-up=../outside",
                                    "home=" + home_,
                                    "shm-file=" + shm_file_,
                                    "tmp-file=" + tmp_file_,
                                    "set-uid=" + project_ + "/set-uid",
                                    "race-ms=" + std::to_string(usual ? 5000 : 700),
                                    std::string("bare=") + (where.bare ? "yes" : "no")};
  for (const std::string& word : listeners_->words()) words.push_back(word);
  for (const std::string& word : victim_->words()) words.push_back(word);
  return words;
}

Command Scene::attempt(const std::string& family, const Confinement& where,
                       const std::string& wrap) const {
  std::vector<std::string> line = {programs_, "attempt", family};
  for (const std::string& word : words(where)) line.push_back(word);
  return command(line, where, wrap);
}

// The secret stands among the words of the wrapper alone, which a sandbox cannot see.
Command Scene::command(const std::vector<std::string>& line, const Confinement& where,
                       const std::string& wrap) const {
  Command command;
  command.argv = {programs_, "wrap", wrap, "secret=" + secret_};
  for (const std::string& word : words(where)) command.argv.push_back(word);
  command.argv.push_back("--");
  if (!where.bare) {
    command.argv.insert(command.argv.end(), {nono_, "run", "--allow-cwd"});
    if (where.network == Network::filtered) {
      command.argv.insert(command.argv.end(), {"--allow-domain", "example.com"});
    }
    if (where.diagnose) command.argv.emplace_back("--diagnose");
    if (where.network == Network::blocked) command.argv.emplace_back("--block-net");
    if (!where.backend.empty()) {
      command.argv.insert(command.argv.end(), {"--backend", where.backend});
    }
    command.argv.push_back("--");
  }
  command.argv.insert(command.argv.end(), line.begin(), line.end());
  command.env = plain_environment(home_);
  command.cwd = project_;
  command.user = user_;
  return command;
}

std::vector<pid_t> Scene::left_behind() const {
  std::vector<pid_t> pids;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string line = read_file(entry.path() / "cmdline");
    if (line.find("mark=") == std::string::npos || line.find(token_) == std::string::npos) continue;
    pids.push_back(std::stoi(name));
  }
  return pids;
}

std::set<std::string> Scene::changes() const {
  std::set<std::string> changed = victim_->changes();
  for (const std::string& name : files_to_change()) {
    if (!is_as_it_was(outside_ + "/target-" + name, user_)) changed.insert(name);
  }
  const std::string made = "made-";
  for (const fs::directory_entry& entry : fs::directory_iterator(outside_)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(made)) changed.insert(name.substr(made.size()));
  }
  if (fs::exists(home_ + "/.profile")) changed.insert("login-shell");
  if (!left_behind().empty()) changed.insert("orphan");
  if (has_address(value_of(listeners_->words(), "spare-address"))) {
    changed.insert("netlink-adds-address");
  }
  return changed;
}

std::map<std::string, Result> Scene::results(const Finished& finished) {
  std::set<std::string> hits = listeners_->hits();
  hits.merge(victim_->hits());
  hits.merge(hits_in(finished.out));
  hits.insert(hits_.begin(), hits_.end());
  const std::set<std::string> changed = changes();
  std::map<std::string, Result> results;
  std::istringstream lines(finished.out);
  for (std::string line; std::getline(lines, line);) {
    auto parsed = parse(line);
    if (!parsed) continue;
    auto& [name, result] = *parsed;
    if (result.proof == "hit") result.escaped = hits.contains(name);
    if (result.proof == "read") result.escaped = result.detail.find(secret_) != std::string::npos;
    if (result.proof == "state") result.escaped = changed.contains(name);
    if (result.proof == "word") result.escaped = result.says_escaped;
    results.insert(std::move(*parsed));
  }
  // Nothing arrived anywhere that no line accounts for, and the secret is in no other output.
  for (const std::string& name : hits) {
    if (!results.contains(name)) results[name] = Result{"hit", "", "unexpected", true, true};
  }
  return results;
}

namespace {

std::map<std::string, Result> run_once(const std::string& family, const Confinement& where,
                                       std::optional<uid_t> user, const std::string& wrap,
                                       WhileRunning while_running) {
  Scene scene(user);
  Process process(scene.attempt(family, where, wrap));
  if (while_running != nullptr) while_running(scene, process);
  const Finished finished = process.wait();
  INFO(family << " as " << user.value_or(::geteuid()) << " " << where.name() << "\n"
              << finished.out << finished.err);
  CHECK(finished.code == 0);
  return scene.results(finished);
}

void check_bare(const std::map<std::string, Result>& bare, uid_t uid) {
  REQUIRE_FALSE(bare.empty());
  for (const auto& [name, result] : bare) {
    if (result.escaped) continue;
    INFO(name << " as " << uid << " in no sandbox: " << result.detail);
    CHECK(result.needs != "");  // otherwise it works everywhere, or the program is wrong
    std::printf("not applicable: %s as %u: no %s: %s\n", name.c_str(), uid, result.needs.c_str(),
                result.detail.c_str());
  }
}

// Without namespaces there is no mount to keep metadata, and no pid namespace to keep other
// processes of the same user from being seen and slowed. The documentation says so.
const std::set<std::string>& known_under_notify() {
  static const std::set<std::string> names = {
      "chmod",  "chmod-by-descriptor", "utimes",       "setxattr", "affinity", "renice",
      "ionice", "scheduler",           "proc-cmdline", "proc-net"};
  return names;
}

// An open network is there to be used: by what is no way round anything.
bool is_known(const std::string& name, const Confinement& where) {
  if (where.backend == "notify" && known_under_notify().contains(name)) return true;
  return where.network == Network::open && name == "own-supervisor";
}

}  // namespace

void try_family(const std::string& family, Network other, const std::string& wrap,
                WhileRunning while_running) {
  std::vector<Confinement> everywhere = confinements();
  for (Confinement where : confinements()) {
    if (!has_flag("--diagnose")) break;
    where.diagnose = true;
    if (where.backend != "notify") everywhere.push_back(where);  // which refuses to
  }
  for (const Confinement& where : confinements(other)) {
    if (other != Network::filtered) everywhere.push_back(where);
  }
  for (const std::optional<uid_t> user : users()) {
    const auto bare = run_once(family, {true, "", {}}, user, wrap, while_running);
    const uid_t uid = user.value_or(::geteuid());
    check_bare(bare, uid);
    for (const Confinement& where : everywhere) {
      const auto inside = run_once(family, where, user, wrap, while_running);
      for (const auto& [name, result] : bare) {
        INFO(name << " as " << uid << ", " << where.name());
        REQUIRE(inside.contains(name));
      }
      for (const auto& [name, result] : inside) {
        INFO(name << " as " << uid << ", " << where.name() << ": " << result.detail);
        if (!is_known(name, where)) {
          CHECK_FALSE(result.escaped);
        } else if (result.escaped) {
          std::printf("known: %s as %u, %s\n", name.c_str(), uid, where.name().c_str());
        }
      }
    }
  }
}

}  // namespace nono::testing
