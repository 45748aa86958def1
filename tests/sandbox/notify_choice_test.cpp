// The choice between the backends: by trying, remembered only where it worked.

#include "sandbox/backend_choice.hpp"
#include "sandbox/linux/notify/notify.hpp"
#include "sandbox/linux/probe_cache.hpp"
#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

// In a process of its own, as the user; what `judge` returns becomes the exit code.
int in_process(User user, const std::function<int()>& judge) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(become(user) ? judge() : 99);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// As on a machine whose administrator has switched user namespaces off. Of this process and its
// children alone.
bool lose_namespaces() {
  if (::unshare(CLONE_NEWUSER) != 0) return false;
  std::ofstream limit("/proc/sys/user/max_user_namespaces");
  limit << "0" << std::flush;
  return limit.good();
}

}  // namespace

TEST_CASE("where namespaces can be made netns is chosen, and that is remembered") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, "/tmp");
    const std::string cache = place / "state/backend";
    CHECK(in_process(user, [&] {
            BackendChoice choice = choose_backend({{}, recall(cache)});
            if (choice.backend != Backend::netns || choice.instead) return 1;
            if (!recall(cache).found.netns || recall(cache).found.every_port) return 2;
            // Nothing is tried any more: trying would fail now, and choose the other.
            if (!lose_namespaces()) return 98;
            remember(cache, probe_identity(), {true, false});  // of another uid inside
            return choose_backend({{}, recall(cache)}).backend == Backend::netns ? 0 : 3;
          }) == 0);
    CHECK(std::filesystem::status(place / "state").permissions() == std::filesystem::perms(0700));
  }
}

TEST_CASE("where namespaces cannot be made notify is chosen, and nothing is remembered") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, "/tmp");
    const std::string cache = place / "backend";
    CHECK(in_process(user, [&] {
            if (!lose_namespaces()) return 98;
            BackendChoice choice = choose_backend({{}, recall(cache)});
            if (choice.backend != Backend::notify || !choice.instead) return 1;
            return choice.instead->fix.find("max_user_namespaces") != std::string::npos ? 0 : 2;
          }) == 0);
    CHECK_FALSE(std::filesystem::exists(cache));
  }
}

TEST_CASE("what was remembered wrongly is forgotten, and the other backend runs the command") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, "/tmp");
    const std::string cache = place / "backend";
    CHECK(in_process(user, [&] {
            if (!lose_namespaces()) return 98;
            remember(cache, probe_identity(), {true, true});
            SandboxPlan plan = probe([] { return 42; });
            Result<Started> started = start_on_backend(plan, {{}, recall(cache)});
            if (!started || plan.backend != Backend::notify || !started->choice.instead) return 1;
            Result<ExitStatus> status = go_and_wait(*started->channel);
            return status && status->code == 42 ? 0 : 2;
          }) == 0);
    CHECK_FALSE(std::filesystem::exists(cache));
  }
}

TEST_CASE("a backend that is forced is used or refused, never replaced") {
  User user = users().back();
  if (!can_sandbox(user)) return;
  CHECK(in_process(user, [&] {
          if (!lose_namespaces()) return 98;
          SandboxPlan plan = probe([] { return 0; });
          Result<Started> started = start_on_backend(plan, {Backend::netns, {}});
          if (started || started.error().code != ErrorCode::not_supported) return 1;
          return started.error().fix.empty() ? 2 : 0;
        }) == 0);
  CHECK(in_process(user, [&] {
          SandboxPlan plan = probe([] { return 0; });
          Result<Started> started = start_on_backend(plan, {Backend::notify, {}});
          return started && plan.backend == Backend::notify ? 0 : 1;
        }) == 0);
}

TEST_CASE("a finding holds for one boot, one program and one user") {
  Directory place(users().front(), "/tmp");
  const std::string cache = place / "backend";
  const std::string identity = probe_identity();
  REQUIRE_FALSE(identity.empty());
  CHECK_FALSE(recall(cache, identity).netns);
  remember(cache, identity, {false, false});
  CHECK_FALSE(std::filesystem::exists(cache));
  remember(cache, identity, {true, false});
  CHECK(recall(cache, identity).netns);
  CHECK_FALSE(recall(cache, identity).every_port);
  CHECK_FALSE(recall(cache, identity + "x").netns);
  remember(cache, identity, {true, true});
  CHECK(recall(cache, identity).netns);
  CHECK(recall(cache, identity).every_port);
  CHECK(recall(cache).found.every_port);
  write_text(cache, identity + "something else\n", users().front());
  CHECK_FALSE(recall(cache, identity).netns);
  write_text(cache, identity.substr(1), users().front());
  CHECK_FALSE(recall(cache, identity).netns);
  forget(cache);
  CHECK_FALSE(std::filesystem::exists(cache));
  CHECK_FALSE(recall("", "").netns);
  CHECK(recall("").identity.empty());
}

TEST_CASE("what an old kernel lacks is named, and each name can be read back") {
  using W = Weakness;
  CHECK(missing_for_notify(7).empty());
  CHECK(missing_for_notify(6).empty());
  CHECK(missing_for_notify(5) == std::vector<W>{W::unscoped_signals});
  CHECK(missing_for_notify(3) == std::vector<W>{W::no_landlock_net, W::unscoped_signals});
  for (Weakness weakness : all_weaknesses()) {
    CHECK(parse_weakness(to_string(weakness)) == weakness);
    CHECK_FALSE(describe(weakness).empty());
  }
  CHECK_FALSE(parse_weakness("everything"));
  CHECK(parse_backend("netns") == Backend::netns);
  CHECK(parse_backend("notify") == Backend::notify);
  CHECK_FALSE(parse_backend("none"));
}

TEST_CASE("only what is really missed counts as weak") {
  SandboxPlan plan;
  plan.accepted = all_weaknesses();
  CHECK(weaknesses_in_effect(plan).empty());  // netns
  plan.backend = Backend::notify;
  const std::vector<Weakness> weak = weaknesses_in_effect(plan);
  CHECK(std::count(weak.begin(), weak.end(), Weakness::host_terminals) == 1);
}
