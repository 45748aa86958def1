// The notify backend: a supervisor connects in the command's place, and nothing else does.

#include <arpa/inet.h>
#include <netinet/in.h>

#include "sandbox/registered_ports.hpp"
#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

TEST_CASE("a command runs to its end in the notify backend") {
  for (User user : users()) {
    SandboxPlan plan = shell("echo hello; exit 7");
    plan.backend = Backend::notify;
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 7);
    CHECK(outcome.out == "hello\n");
  }
}
