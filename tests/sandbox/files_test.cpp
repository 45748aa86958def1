// What the command can and cannot do to files.

#include <sys/time.h>
#include <sys/xattr.h>

#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

// A plan whose only own grant is `path`.
SandboxPlan with_grant(const std::string& script, const std::string& path, bool write) {
  SandboxPlan plan = shell(script);
  plan.grants.push_back({path, true, write, std::filesystem::is_directory(path)});
  return plan;
}

}  // namespace

TEST_CASE("without a grant a file can neither be read nor listed nor written") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "secret", "the secret", user);
    Outcome outcome =
        run(shell("cat " + place / "secret" + "; ls " + place.path() + "; echo x > " +
                  place / "secret" + "; echo x > " + place / "new; rm " + place / "secret"),
            user);
    INFO(describe(outcome));
    CHECK(outcome.code != 0);
    CHECK(outcome.out.find("the secret") == std::string::npos);
    CHECK(read_text(place / "secret") == "the secret");
    CHECK_FALSE(std::filesystem::exists(place / "new"));
  }
}

TEST_CASE("a grant to read allows reading and nothing else") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "data", "content", user);
    Outcome outcome =
        run(with_grant(
                "cat " + place / "data" + " && ls " + place.path() + " && cd " + place.path() +
                    "; echo x > data; echo x > new; chmod 777 data; touch data; mkdir d; rm data; "
                    "mv data other; ln -s data link",
                place.path(), false),
            user);
    INFO(describe(outcome));
    CHECK(outcome.out.starts_with("contentdata\n"));
    CHECK(read_text(place / "data") == "content");
    std::filesystem::directory_iterator entries(place.path());
    CHECK(std::distance(begin(entries), end(entries)) == 1);
    CHECK((std::filesystem::status(place / "data").permissions() &
           std::filesystem::perms::others_write) == std::filesystem::perms::none);
  }
}

TEST_CASE("a grant to write allows everything that files need") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    Outcome outcome =
        run(with_grant(
                "set -e; cd " + place.path() +
                    "; echo one > a; mkdir -p d/e; mv a d/e/b; ln -s e d/link; cat d/link/b; "
                    "cp d/e/b c; chmod 600 c; : > c; echo two >> c; ln c hard; mkfifo f; rm -r d; "
                    "cp /bin/true t; ./t",
                place.path(), true),
            user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(outcome.out == "one\n");
    CHECK(read_text(place / "hard") == "two\n");
    CHECK_FALSE(std::filesystem::exists(place / "d"));
  }
}

TEST_CASE("a single file can be granted without its neighbours") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "mine", "before", user);
    write_text(place / "other", "private", user);
    Outcome outcome = run(with_grant("cd " + place.path() +
                                         "; cat mine; echo after > mine; cat other; "
                                         "echo x > other; ls",
                                     place / "mine", true),
                          user);
    INFO(describe(outcome));
    CHECK(outcome.out.starts_with("before"));
    CHECK(outcome.out.find("private") == std::string::npos);
    CHECK(read_text(place / "mine") == "after\n");
    CHECK(read_text(place / "other") == "private");
  }
}

TEST_CASE("metadata outside writable grants cannot be changed") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "f", "x", user);
    std::string path = place / "f";
    struct stat before = {};
    ::stat(path.c_str(), &before);
    Outcome outcome = run(probe([path, user] {
                            int done = 0;
                            done += ::chmod(path.c_str(), 0777) == 0;
                            done += ::chown(path.c_str(), user.uid, user.uid) == 0;
                            timeval times[2] = {};
                            done += ::utimes(path.c_str(), times) == 0;
                            done += ::setxattr(path.c_str(), "user.mark", "1", 1, 0) == 0;
                            done += ::truncate(path.c_str(), 0) == 0;
                            return done;
                          }),
                          user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    struct stat after = {};
    ::stat(path.c_str(), &after);
    CHECK(after.st_mode == before.st_mode);
    CHECK(after.st_mtim.tv_sec == before.st_mtim.tv_sec);
    CHECK(after.st_size == before.st_size);
  }
}

TEST_CASE("temporary directories are private, writable and gone after the run") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory host(user, "/tmp");
    write_text(host / "secret", "the secret", user);
    std::string name = "nono-test-" + std::to_string(::getpid());
    Outcome outcome = run(
        shell("set -e; for d in /tmp /var/tmp /dev/shm; do echo mine > $d/" + name + "; cat $d/" +
              name + "; ls $d; done; cp /bin/true /tmp/t; /tmp/t; cat " + host / "secret"),
        user);
    INFO(describe(outcome));
    CHECK(outcome.out.find("mine\n" + name + "\nmine\n" + name + "\nmine\n" + name + "\n") == 0);
    CHECK(outcome.out.find("the secret") == std::string::npos);
    CHECK(outcome.code != 0);  // the last cat
    for (const char* directory : {"/tmp/", "/var/tmp/", "/dev/shm/"}) {
      CHECK_FALSE(std::filesystem::exists(directory + name));
    }
  }
}

TEST_CASE("two runs do not see each other's temporary files") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    CHECK(run(shell("echo x > /tmp/shared-name"), user).code == 0);
    CHECK(run(shell("test ! -e /tmp/shared-name"), user).code == 0);
  }
}

TEST_CASE("grants below /tmp show through the private one") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory host(user, "/tmp");
    make_directory(host / "project", user);
    make_directory(host / "bundle", user);
    make_directory(host / "hidden", user);
    write_text(host / "project/in", "input", user);
    write_text(host / "bundle/ca.pem", "certificate", user);
    write_text(host / "single", "file", user);
    write_text(host / "hidden/key", "the secret", user);
    SandboxPlan plan =
        shell("cat in; echo out > out; pwd; cat " + host / "bundle/ca.pem" + " " + host / "single" +
              "; echo spoilt > " + host / "bundle/ca.pem" + "; chmod 777 " +
              host / "bundle/ca.pem" + "; echo spoilt > " + host / "single" + "; cat " +
              host / "hidden/key" + "; ls " + host.path());
    plan.cwd = host / "project";
    plan.grants.push_back({host / "project", true, true, true});
    plan.grants.push_back({host / "bundle", true, false, true});
    plan.grants.push_back({host / "single", true, false, false});
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out.starts_with("input" + host / "project" + "\ncertificatefile"));
    CHECK(outcome.out.find("the secret") == std::string::npos);
    CHECK(outcome.out.ends_with("bundle\nproject\nsingle\n"));
    CHECK(read_text(host / "project/out") == "out\n");
    CHECK(read_text(host / "bundle/ca.pem") == "certificate");
    CHECK(read_text(host / "single") == "file");
  }
}

TEST_CASE("an executable below /tmp runs where it is granted") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory host(user, "/tmp");
    std::filesystem::copy_file("/bin/echo", host / "tool");
    SandboxPlan plan = system_plan();
    plan.executable = host / "tool";
    plan.argv = {"tool", "works"};
    CHECK(run(plan, user).code == 127);  // not there
    plan.grants.push_back({host / "tool", true, false, false});
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out == "works\n");
  }
}

TEST_CASE("a grant that names /tmp means the host's") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory host(user, "/tmp");
    write_text(host / "file", "shared", user);
    SandboxPlan plan =
        with_grant("cat " + host / "file" + "; echo back > " + host / "answer", "/tmp", true);
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out == "shared");
    CHECK(read_text(host / "answer") == "back\n");
  }
}

TEST_CASE("a start directory below /tmp that is not granted exists and is empty") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory host(user, "/tmp");
    write_text(host / "secret", "the secret", user);
    SandboxPlan plan = shell("pwd; ls");
    plan.cwd = host.path();
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(outcome.out == host.path() + "\n");
  }
}

TEST_CASE("a denied path inside a grant is hidden, and cannot be uncovered or moved") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    make_directory(place / ".ssh", user);
    write_text(place / ".ssh/id", "the secret", user);
    write_text(place / ".netrc", "the secret", user);
    SandboxPlan plan =
        with_grant("cd " + place.path() +
                       "; ls .ssh; cat .ssh/id .netrc; chmod 777 .ssh; mv .ssh moved; mv "
                       ".netrc moved2; rm -rf .ssh .netrc; umount .ssh; echo ok > ordinary",
                   place.path(), true);
    plan.denies = {{place / ".ssh", "deny_credentials"},
                   {place / ".netrc", "deny_credentials"},
                   {place / ".absent", "deny_credentials"}};
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("the secret") == std::string::npos);
    CHECK(read_text(place / ".ssh/id") == "the secret");
    CHECK(read_text(place / ".netrc") == "the secret");
    CHECK(read_text(place / "ordinary") == "ok\n");
  }
}

TEST_CASE("a denied path that is a symbolic link hides what it points to") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "real", "the secret", user);
    std::filesystem::create_symlink("real", place / ".netrc");
    SandboxPlan plan =
        with_grant("cat " + place / ".netrc" + " " + place / "real", place.path(), true);
    plan.denies = {{place / ".netrc", "deny_credentials"}};
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.out.find("the secret") == std::string::npos);
  }
}

TEST_CASE("the runtime directory is private") {
  for (User user : users()) {
    std::string runtime = "/run/user/" + std::to_string(user.uid);
    if (!can_sandbox(user)) return;
    if (::geteuid() != 0 || std::filesystem::exists(runtime)) {
      WARN("skipped by name: runtime directory for uid " << user.uid << ", it exists already");
      continue;
    }
    make_directory(runtime, user);
    write_text(runtime + "/bus", "the secret", user);
    SandboxPlan plan =
        shell("ls " + runtime + "; echo mine > " + runtime + "/f; cat " + runtime + "/f");
    plan.grants.push_back({"/run", true, false, true});
    Outcome outcome = run(plan, user);
    std::filesystem::remove_all(runtime);
    INFO(describe(outcome));
    CHECK(outcome.out == "mine\n");
  }
}

TEST_CASE("a grant of everything still leaves /proc, terminals and denied paths closed") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "secret", "the secret", user);
    write_text(place / "nono.yaml", "policy", user);
    SandboxPlan plan =
        with_grant("cd " + place.path() +
                       "; echo x > f; cat secret; rm secret; mv secret s2; "
                       "echo x > nono.yaml; echo x > /proc/sys/kernel/core_pattern; ls /dev/pts; "
                       "ls -d /proc/[0-9]* | wc -l",
                   "/", true);
    plan.denies = {{place / "secret", "deny_credentials"}};
    plan.read_only_paths = {place / "nono.yaml"};
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(read_text(place / "f") == "x\n");
    CHECK(outcome.out.find("the secret") == std::string::npos);
    CHECK(read_text(place / "secret") == "the secret");
    CHECK(read_text(place / "nono.yaml") == "policy");
    CHECK(outcome.out.find("ptmx\n") != std::string::npos);
    CHECK(read_text("/proc/sys/kernel/core_pattern") != "x\n");
  }
}

TEST_CASE(
    "/dev/stdout opens the file that output goes to, for writing and without its neighbours") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "out", "", user);
    write_text(place / "neighbour", "secret", user);
    SandboxPlan plan = shell("echo one >> /dev/stdout; cat /dev/stdout " + place / "neighbour" +
                             "; echo x > " + place / "neighbour");
    Pipe result;
    pid_t parent = ::fork();
    if (parent == 0) {
      UniqueFd out(::open((place / "out").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
      UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
      ::dup2(null.get(), 0);
      ::dup2(out.get(), 1);
      ::dup2(null.get(), 2);
      be_parent(plan, user, go_and_wait, result.write.get());
    }
    result.write.reset();
    CHECK(read_all(result.read.get()).starts_with("status\n"));
    ::waitpid(parent, nullptr, 0);
    CHECK(read_text(place / "out") == "one\n");
    CHECK(read_text(place / "neighbour") == "secret");
  }
}

TEST_CASE("a policy file in a writable grant can be read but not changed, moved or replaced") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    make_directory(place / ".nono/deep", user);
    write_text(place / "nono.yaml", "policy", user);
    write_text(place / ".nono/deep/profile.yaml", "policy", user);
    std::string script = "cd " + place.path() + "; cat nono.yaml";
    for (const char* file : {"nono.yaml", ".nono/deep/profile.yaml"}) {
      std::string f = file;
      script += "; echo x > " + f + "; chmod 777 " + f + "; rm -f " + f + "; mv " + f +
                " away; cp /etc/passwd n; "
                "mv -f n " +
                f + "; ln -sf /etc/passwd " + f;
    }
    script += "; mv .nono away; mv .nono/deep away; rm -rf .nono; echo new > .nono/deep/sibling";
    SandboxPlan plan = with_grant(script, place.path(), true);
    plan.read_only_paths = {place / "nono.yaml", place / ".nono/deep/profile.yaml"};
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out.starts_with("policy"));
    CHECK(read_text(place / "nono.yaml") == "policy");
    CHECK(read_text(place / ".nono/deep/profile.yaml") == "policy");
    CHECK_FALSE(std::filesystem::is_symlink(place / "nono.yaml"));
    CHECK(read_text(place / ".nono/deep/sibling") == "new\n");  // the rest stays writable
  }
}

TEST_CASE("a grant that became a symbolic link is refused, not followed") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    make_directory(place / "target", user);
    write_text(place / "target/secret", "the secret", user);
    std::filesystem::create_symlink(place / "target", place / "granted");
    for (bool write : {false, true}) {
      Outcome outcome =
          run(with_grant("cat " + place / "granted/secret", place / "granted", write), user);
      INFO(describe(outcome));
      CHECK_FALSE(outcome.ok);
      CHECK(outcome.error.find(place / "granted") != std::string::npos);
      CHECK(outcome.fix.find("symbolic link") != std::string::npos);
    }
  }
}

TEST_CASE("a grant of a path that does not exist grants nothing and hinders nothing") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    SandboxPlan plan = with_grant("mkdir " + place / "later", place / "later", true);
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.code != 0);
    CHECK_FALSE(std::filesystem::exists(place / "later"));
  }
}

TEST_CASE("the usual devices work, others cannot be opened or made") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome usual = run(
        shell("echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c"),
        user);
    INFO(describe(usual));
    CHECK(usual.out == "4\n4\n");
    Directory place(user, public_place());
    std::string node = place / "node";
    SandboxPlan plan = probe([node] {
      int bad = 0;
      for (const char* path :
           {"/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/fuse", "/dev/net/tun"}) {
        bad += ::open(path, O_RDONLY) >= 0 ? 1 : 0;
      }
      bad += ::mknod(node.c_str(), S_IFBLK | 0600, 0xfe00) == 0 ? 1 : 0;
      bad += ::mknod(node.c_str(), S_IFCHR | 0600, 0x101) == 0 ? 1 : 0;
      return bad;
    });
    plan.grants.push_back({place.path(), true, true, true});
    CHECK(run(plan, user).code == 0);
  }
}

TEST_CASE("pseudo-terminals can be made, and the host's are not there") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(probe([] {
                            int master = ::posix_openpt(O_RDWR | O_NOCTTY);
                            if (master < 0) return 1;
                            if (::grantpt(master) != 0 || ::unlockpt(master) != 0) return 2;
                            const char* name = ::ptsname(master);
                            if (name == nullptr || std::string(name) != "/dev/pts/0") return 3;
                            int slave = ::open(name, O_RDWR | O_NOCTTY);
                            if (slave < 0) return 4;
                            if (::write(slave, "hi", 2) != 2) return 5;
                            char text[3] = {};
                            return ::read(master, text, 2) == 2 ? 0 : 6;
                          }),
                          user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("/proc holds the sandbox's own processes and cannot be written") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    pid_t tests = ::getpid();
    Outcome outcome =
        run(shell("ls -d /proc/[0-9]* | wc -l; test -e /proc/" + std::to_string(tests) +
                  " && echo visible; cat /proc/1/environ /proc/1/maps; echo x > "
                  "/proc/sys/kernel/core_pattern; echo x > /proc/sys/kernel/hostname; "
                  "echo 0 > /proc/self/oom_score_adj; ls /proc/1/root /proc/1/fd"),
            user);
    INFO(describe(outcome));
    CHECK(std::stoi(outcome.out) <= 4);
    if (tests > 10) CHECK(outcome.out.find("visible") == std::string::npos);
    CHECK(read_text("/proc/sys/kernel/core_pattern") != "x\n");
    CHECK(outcome.code != 0);
    CHECK(outcome.out.find("/proc/1/environ: Permission denied") != std::string::npos);
  }
}
