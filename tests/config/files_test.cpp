// Which files a session may touch: grants, denies, and how they meet.

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>

#include "config/base/fd.hpp"
#include "config/expand.hpp"
#include "config/resolve.hpp"
#include "fixture.hpp"

using namespace nono;
using Catch::Matchers::Contains;
using test::Home;

namespace {

Settings path(const std::string& text, Access access, bool file, const std::string& flag) {
  Settings settings;
  settings.paths.push_back({text, access, file, {flag}});
  return settings;
}

const PathGrant* grant_at(const SessionConfig& session, const std::string& text) {
  for (const PathGrant& grant : session.grants) {
    if (grant.path == text) return &grant;
  }
  return nullptr;
}

std::string refusal(const Settings& settings, const UserContext& user, bool allow_cwd = false) {
  ResolveOptions options;
  options.allow_cwd = allow_cwd;
  Result<SessionConfig> session = resolve(settings, user, options);
  REQUIRE_FALSE(session);
  CHECK(session.error().code == ErrorCode::bad_input);
  return session.error().what;
}

SessionConfig accepted(const Settings& settings, const UserContext& user, bool allow_cwd = false) {
  ResolveOptions options;
  options.allow_cwd = allow_cwd;
  Result<SessionConfig> session = resolve(settings, user, options);
  INFO((session ? "" : session.error().what));
  REQUIRE(session);
  return *session;
}

// What `say` says in a process of a user who is not root: to that one nothing is locked.
std::string as_ordinary_user(const std::function<std::string()>& say) {
  constexpr uid_t ordinary = 54321;
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const bool became = ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 &&
                                             ::setresgid(ordinary, ordinary, ordinary) == 0 &&
                                             ::setresuid(ordinary, ordinary, ordinary) == 0);
    const std::string text =
        became ? say() : std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
    const ssize_t written = ::write(ends[1], text.data(), text.size());
    ::_exit(written < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 512> buffer{};
  for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    said.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return said;
}

UniqueFd bound_socket(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

bool denies(const SessionConfig& session, const std::string& text) {
  return std::any_of(session.denies.begin(), session.denies.end(),
                     [&](const DenyPath& deny) { return deny.path == text; });
}

}  // namespace

TEST_CASE(
    "without any setting there are system paths to read, devices to write, and nothing of the "
    "user's") {
  Home home;
  SessionConfig session = accepted({}, home.user());
  REQUIRE(grant_at(session, "/usr/bin") != nullptr);
  CHECK(grant_at(session, "/usr/bin")->access == Access::read);
  REQUIRE(grant_at(session, "/dev/null") != nullptr);
  CHECK(grant_at(session, "/dev/null")->access == Access::read_write);
  CHECK(grant_at(session, "/dev/null")->file);
  for (const PathGrant& grant : session.grants) {
    INFO(grant.path);
    CHECK(grant.system);
    CHECK_FALSE(lies_in(home.path("project"), grant.path));
    CHECK_FALSE(lies_in("/etc/shadow", grant.path));
    CHECK_FALSE(lies_in("/etc/ssl/private", grant.path));
    CHECK((grant.access == Access::read || grant.origin == "devices"));
  }
}

TEST_CASE("the flag --allow-cwd gives the current directory, as workdir.access says") {
  Home home;
  SessionConfig session = accepted({}, home.user(), true);
  REQUIRE(grant_at(session, home.path("project")) != nullptr);
  CHECK(grant_at(session, home.path("project"))->access == Access::read_write);
  CHECK_FALSE(grant_at(session, home.path("project"))->system);
  Settings read_only;
  read_only.workdir_access = Access::read;
  session = accepted(read_only, home.user(), true);
  CHECK(grant_at(session, home.path("project"))->access == Access::read);
  session = accepted({}, home.user(), false);
  CHECK(grant_at(session, home.path("project")) == nullptr);
}

TEST_CASE("a grant that is or lies in what is protected is refused, with both named") {
  Home home;
  UserContext user = home.user();
  std::string key = home.file("home/.ssh/id_ed25519");
  CHECK_THAT(
      refusal(path("~/.ssh", Access::read, false, "--read"), user),
      Contains("--read would grant " + home.path("home/.ssh")) && Contains("deny_credentials"));
  CHECK_THAT(refusal(path(key, Access::read, true, "--read-file"), user),
             Contains("lies in the protected " + home.path("home/.ssh")));
}

TEST_CASE("a grant that holds what is protected is accepted, and the protected path stays denied") {
  Home home;
  UserContext user = home.user();
  for (const char* text : {"~", "/"}) {
    SessionConfig session = accepted(path(text, Access::read, false, "--read"), user);
    CHECK(denies(session, home.path("home/.ssh")));
    CHECK(session.warnings.empty());
    CHECK(session.missing_denies.empty());
  }
  user.cwd = user.home;
  CHECK(denies(accepted({}, user, true), home.path("home/.ssh")));
}

TEST_CASE("protected paths that a writable grant lets create are told, and listed for later") {
  Home home;
  home.directory("home/.config/other");
  SessionConfig session =
      accepted(path("~/.config", Access::read_write, false, "--allow"), home.user());
  const std::vector<std::string>& missing = session.missing_denies;
  CHECK(std::find(missing.begin(), missing.end(), home.path("home/.config/gcloud")) !=
        missing.end());
  CHECK(std::find(missing.begin(), missing.end(), home.path("home/.ssh")) == missing.end());
  REQUIRE(session.warnings.size() == 1);
  CHECK_THAT(session.warnings[0], Contains(home.path("home/.config/gcloud") + " and "));
  CHECK(accepted(path("~/.config", Access::read, false, "--read"), home.user())
            .missing_denies.empty());
}

TEST_CASE("a protected name that is a link is denied like what it leads to") {
  Home home;
  home.directory("elsewhere");
  home.link("home/.aws", home.path("elsewhere"));
  SessionConfig session = accepted(path("~", Access::read, false, "--read"), home.user());
  CHECK(denies(session, home.path("home/.aws")));
  CHECK(denies(session, home.path("elsewhere")));
}

TEST_CASE("symbolic links do not lead around a deny") {
  Home home;
  home.link("project/innocent", home.path("home/.ssh"));
  CHECK_THAT(refusal(path("innocent", Access::read, false, "--read"), home.user()),
             Contains(home.path("home/.ssh")));
  CHECK_THAT(refusal(path("./sub/../innocent/", Access::read, false, "--read"), home.user()),
             Contains("innocent") || Contains(".ssh"));
  // A protected name that is itself a link elsewhere protects the place it leads to.
  home.directory("elsewhere");
  home.link("home/.aws", home.path("elsewhere"));
  CHECK_THAT(refusal(path(home.path("elsewhere"), Access::read, false, "--read"), home.user()),
             Contains("the protected " + home.path("elsewhere")));
}

TEST_CASE("bypass_protection lifts a deny for the path it names, where a grant matches") {
  Home home;
  std::string hosts = home.file("home/.ssh/known_hosts");
  Settings settings = path(hosts, Access::read, true, "--read-file");
  settings.bypass_protection = {"~/.ssh/known_hosts"};
  SessionConfig session = accepted(settings, home.user());
  CHECK(grant_at(session, hosts) != nullptr);
  // Everything else in ~/.ssh stays protected.
  CHECK(denies(session, home.path("home/.ssh")));
  CHECK(grant_at(session, hosts)->bypass);

  settings.paths[0] = {"~/.ssh", Access::read, false, {"--read"}};
  CHECK_THAT(refusal(settings, home.user()), Contains("would grant " + home.path("home/.ssh")));
  settings.bypass_protection = {"~/.ssh"};
  session = accepted(settings, home.user());
  CHECK_FALSE(denies(session, home.path("home/.ssh")));

  Settings around = path("~", Access::read, false, "--read");
  around.bypass_protection = {"~/.ssh"};
  CHECK_FALSE(denies(accepted(around, home.user()), home.path("home/.ssh")));
  around.bypass_protection = {"~/.ssh/known_hosts"};
  CHECK_THAT(refusal(around, home.user()), Contains("has no matching grant"));
  around.paths.push_back({hosts, Access::read, true, {"--read-file"}});
  CHECK(denies(accepted(around, home.user()), home.path("home/.ssh")));

  Settings alone;
  alone.bypass_protection = {"~/.aws"};
  CHECK_THAT(refusal(alone, home.user()),
             Contains("bypass_protection '~/.aws' has no matching grant"));
}

TEST_CASE("a profile's own deny inside a grant is kept, one over a grant refuses it") {
  Home home;
  home.directory("project/secret");
  Settings settings;
  settings.deny_paths.push_back({"$WORKDIR/secret", Access::none, false, {"p.json:1:1"}});
  CHECK(denies(accepted(settings, home.user(), true), home.path("project/secret")));
  CHECK(denies(accepted(settings, home.user()), home.path("project/secret")));
  settings.deny_paths[0].path = "$WORKDIR";
  CHECK_THAT(refusal(settings, home.user(), true),
             Contains("is the denied " + home.path("project") + " (p.json:1:1)"));
  settings.deny_paths[0].path = "$NOT_SET_X/secret";
  CHECK_THAT(refusal(settings, home.user()), Contains("$NOT_SET_X is not set"));
}

TEST_CASE("nono's own settings, logs and sockets can be granted by nothing") {
  Home home;
  home.variables["XDG_RUNTIME_DIR"] = home.directory("runtime");
  home.directory("runtime/nono");
  UserContext user = home.user();
  user.config_dir = home.directory("config/nono");
  user.state_dir = home.path("state/nono");
  home.directory("state");
  for (const std::string& own : {user.config_dir, home.path("runtime/nono")}) {
    Settings settings = path(own, Access::read, false, "--read");
    settings.bypass_protection = {own};
    CHECK_THAT(refusal(settings, user),
               Contains("is the protected " + own + " (nono's own files)"));
  }
  SessionConfig session = accepted(path(home.path(""), Access::read_write, false, "--allow"), user);
  CHECK(denies(session, user.config_dir));
  CHECK(denies(session, user.state_dir));
  CHECK(denies(session, home.path("runtime/nono")));
  CHECK(session.own_places_to_make == std::vector<std::string>{user.state_dir});
  CHECK(accepted(path(home.path(""), Access::read, false, "--read"), user)
            .own_places_to_make.empty());
}

TEST_CASE("a Unix socket is granted by its canonical path, and implies sockets inside") {
  Home home;
  UniqueFd socket = bound_socket(home.path("home/agent"));
  home.link("project/link", home.path("home/agent"));
  Settings settings;
  settings.unix_sockets = {{"link", Access::read, true, {"--allow-unix-socket"}}};
  SessionConfig session = accepted(settings, home.user());
  REQUIRE(session.sockets.size() == 1);
  CHECK(session.sockets[0].path == home.path("home/agent"));
  CHECK(session.unix_inside);
  CHECK_FALSE(accepted({}, home.user()).unix_inside);
  CHECK(session.warnings.empty());
  UniqueFd engine = bound_socket(home.path("home/docker.sock"));
  settings.unix_sockets[0].path = "~/docker.sock";
  CHECK_THAT(accepted(settings, home.user()).warnings.at(0), Contains("outside the sandbox"));
  settings.unix_sockets.clear();
  settings.unix_inside = true;
  CHECK(accepted(settings, home.user()).unix_inside);
}

TEST_CASE("what is no socket, is missing, protected or nono's own is refused as one") {
  Home home;
  home.file("project/file");
  UniqueFd agent = bound_socket(home.path("home/.ssh/agent"));
  home.directory("home/.local/state/nono");
  UniqueFd own = bound_socket(home.path("home/.local/state/nono/admin.sock"));
  Settings settings;
  auto refused = [&](const std::string& text) {
    settings.unix_sockets = {{text, Access::read, true, {"p.json:3:1"}}};
    return refusal(settings, home.user());
  };
  CHECK_THAT(refused("file"), Contains("p.json:3:1: file is no Unix socket"));
  CHECK_THAT(refused("missing"), Contains("p.json:3:1: missing: No such file"));
  CHECK_THAT(refused("~/.ssh/agent"),
             Contains("lies in the protected " + home.path("home/.ssh") + " (deny_credentials)"));
  settings.bypass_protection = {"~/.ssh/agent", "~/.local/state/nono/admin.sock"};
  CHECK_THAT(refused("~/.local/state/nono/admin.sock"), Contains("nono's own files"));
  settings.bypass_protection = {"~/.ssh/agent"};
  settings.unix_sockets = {{"~/.ssh/agent", Access::read, true, {}}};
  CHECK(accepted(settings, home.user()).sockets.at(0).bypass);
}

TEST_CASE("missing paths are skipped with a warning, files and directories are not mixed up") {
  Home home;
  SessionConfig session = accepted(path("~/nothing", Access::read, false, "--read"), home.user());
  CHECK(session.warnings == std::vector<std::string>{"--read: ~/nothing does not exist; skipped"});
  // What the built-in group names need not exist: the guide's own profile is no reason to warn.
  CHECK(accepted(path("/etc/ssl/cert.pem", Access::read, true, "p.json:7:16"), home.user())
            .warnings.empty());
  session = accepted(path("$NOT_SET_X/a", Access::read, false, "--read"), home.user());
  CHECK_THAT(session.warnings.at(0), Contains("$NOT_SET_X is not set; skipped"));

  home.file("project/f");
  Result<SessionConfig> wrong =
      resolve(path("f", Access::read_write, false, "--allow"), home.user(), {});
  REQUIRE_FALSE(wrong);
  CHECK_THAT(wrong.error().what, Contains("--allow: f is a file"));
  CHECK_THAT(wrong.error().fix, Contains("--allow-file"));
  wrong = resolve(path(".", Access::read_write, true, "--allow-file"), home.user(), {});
  REQUIRE_FALSE(wrong);
  CHECK_THAT(wrong.error().what, Contains("is a directory"));
  CHECK_THAT(refusal(path("~/*.txt", Access::read, false, "--read"), home.user()),
             Contains("patterns in paths are not supported yet"));
}

TEST_CASE("a directory that the user cannot read is an error") {
  Home home;
  home.directory("locked");
  home.directory("open");
  ::chmod(home.path("locked").c_str(), 0);
  ::chmod(home.path("").c_str(), 0755);
  const auto said_of = [&](const std::string& name) {
    return as_ordinary_user([&] {
      const auto session =
          resolve(path(home.path(name), Access::read, false, "--read"), home.user(), {});
      return session ? std::string("fine") : session.error().what;
    });
  };
  CHECK_THAT(said_of("locked"), Contains("locked cannot be read by this user"));
  CHECK(said_of("open") == "fine");
}

TEST_CASE("write to /tmp means the host's, and a home below it stays protected from that") {
  Home home;
  SessionConfig session = accepted(path("/tmp", Access::write, false, "p.json:8:11"), home.user());
  REQUIRE(grant_at(session, "/tmp") != nullptr);
  CHECK(grant_at(session, "/tmp")->access == Access::write);
  CHECK(denies(session, home.path("home/.ssh")));
}

TEST_CASE("optional groups grant what exists of them, read only") {
  Home home;
  home.directory("home/.pyenv");
  Settings settings;
  settings.include_groups = {"python_runtime"};
  SessionConfig session = accepted(settings, home.user());
  REQUIRE(grant_at(session, home.path("home/.pyenv")) != nullptr);
  CHECK(grant_at(session, home.path("home/.pyenv"))->system);
  CHECK(grant_at(session, home.path("home/.conda")) == nullptr);
  settings.exclude_groups = {"python_runtime"};
  session = accepted(settings, home.user());
  CHECK(grant_at(session, home.path("home/.pyenv")) == nullptr);
  settings.include_groups = {"no_such_group"};
  CHECK_THAT(refusal(settings, home.user()), Contains("unknown policy group no_such_group"));
}

TEST_CASE("a home inside a system path is not handed out with it") {
  Home home;
  UserContext user = home.user();
  user.home = "/usr/share";
  CHECK(denies(accepted({}, user), "/usr/share/.ssh"));
  user.home = home.path("home");
  home.directory("home/.local/bin");
  home.link("home/.kube", home.path("home/.local/bin"));
  CHECK_THAT(refusal({}, user), Contains("user_tools would grant " + home.path("home/.local/bin")));
}

TEST_CASE("a profile under a writable grant is listed as read-only for the child") {
  Home home;
  Settings settings;
  settings.policy_files = {home.file("project/p.json"), home.file("home/q.json")};
  CHECK(accepted(settings, home.user(), true).policy_files ==
        std::vector<std::string>{home.path("project/p.json")});
  CHECK(accepted(settings, home.user(), false).policy_files.empty());
}

TEST_CASE("a link put in the place of the current directory is not followed") {
  Home home;
  UserContext user = home.user();
  user.cwd = home.link("moved", home.directory("vault"));
  for (const PathGrant& grant : accepted({}, user, true).grants) {
    CHECK(grant.path != home.path("vault"));
  }
}

TEST_CASE("a profile with a second name is refused where the child could write") {
  Home home;
  Settings settings;
  settings.policy_files = {home.file("project/p.json")};
  std::filesystem::create_hard_link(home.path("project/p.json"), home.path("project/alias"));
  accepted(settings, home.user(), false);
  CHECK_THAT(refusal(settings, home.user(), true), Contains("p.json has a second name"));
}

TEST_CASE("a profile reached by a link that the child could replace is refused") {
  Home home;
  Settings settings;
  settings.policy_links = {home.path("project/link.json")};
  accepted(settings, home.user(), false);
  CHECK_THAT(refusal(settings, home.user(), true),
             Contains("reached by the link " + home.path("project/link.json")));
}

TEST_CASE("variables expand, and .. after a link is what the kernel says") {
  Home home;
  home.variables["DATA"] = home.directory("data");
  home.variables["XDG_CACHE_HOME"] = "relative";
  UserContext user = home.user();
  CHECK(*expand_variables("~/a", user) == user.home + "/a");
  CHECK(*expand_variables("${DATA}/$UID", user) == home.path("data/") + std::to_string(user.uid));
  CHECK(*expand_variables("$XDG_CONFIG_HOME", user) == user.home + "/.config");
  CHECK(*expand_variables("a$", user) == "a$");
  CHECK_FALSE(expand_variables("$XDG_CACHE_HOME/x", user));
  CHECK_FALSE(expand_variables("@git:config-files", user));
  CHECK_FALSE(expand_variables("${DATA", user));
  home.directory("deep/inner");
  home.link("project/l", home.path("deep/inner"));
  CHECK(*expand_path("l/../x", user) == home.path("deep/x"));
  CHECK(normal_path("/a//b/./../c/", "/") == "/a/c");
  CHECK(normal_path("../../..", "/a") == "/");
  CHECK(normal_path("/a/.b/..c/...", "/") == "/a/.b/..c/...");
  CHECK(normal_path("/a/.b/.", "/") == "/a/.b");
  CHECK(normal_path("/a/.b/..", "/") == "/a");
  CHECK(normal_path("//a/b/", "/") == "/a/b");
  CHECK(normal_path("/", "/a") == "/");
  CHECK(lies_in("/a/b", "/a"));
  CHECK(canonical_path("/..nothing/x") == "/..nothing/x");
  CHECK(canonical_path("/nothing/../nothing/./y/") == "/nothing/y");
  CHECK(canonical_path("/nothing") == "/nothing");
  CHECK(canonical_path("/") == "/");
  CHECK_FALSE(lies_in("/ab", "/a"));
}
