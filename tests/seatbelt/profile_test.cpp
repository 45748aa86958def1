// The Seatbelt profile as text, against files that were read by a person. What a Mac makes of it is
// not tested here.

#include "sandbox/macos/profile.hpp"

#include <catch2/catch.hpp>

#include "tests/support/checkout.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::sandbox {
namespace {

using Catch::Matchers::Contains;

SandboxPlan project_plan(Network network) {
  SandboxPlan plan;
  plan.argv = {"agent"};
  plan.executable = "/usr/local/bin/agent";
  plan.grants = {{"/usr/bin", true, false, true},
                 {"/Users/me", true, true, true},
                 {"/private/etc/ssl/cert.pem", true, false, false}};
  plan.denies = {{"/Users/me/.ssh", "built-in"}, {"/Users/me/.config/gh", "built-in"}};
  plan.read_only_paths = {"/Users/me/project/nono.yaml"};
  plan.network = network;
  return plan;
}

SeatbeltFacts usual_facts() {
  SeatbeltFacts facts;
  facts.private_directory = "/private/var/folders/x/T/nono-tmp-1";
  facts.terminals = {"/dev/ttys003"};
  return facts;
}

std::string text_of(const SandboxPlan& plan, const SeatbeltFacts& facts = usual_facts()) {
  const Result<std::string> text = seatbelt_profile(plan, facts);
  REQUIRE(text);
  return *text;
}

void compare_with(const std::string& name, const std::string& text) {
  const std::string path = nono::testing::source_dir() + "/tests/seatbelt/golden/" + name + ".sb";
  INFO("the profile is now:\n" << text);
  CHECK(text == nono::testing::read_file(path));
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

TEST_CASE("a filtered, a blocked and an open network give the profiles that were written down") {
  compare_with("filtered", text_of(project_plan(Network::proxied)));
  compare_with("blocked", text_of(project_plan(Network::blocked)));
  compare_with("open", text_of(project_plan(Network::open)));
}

TEST_CASE("named ports give the profile that was written down") {
  SeatbeltFacts facts = usual_facts();
  facts.open_ports = {Port(5432)};
  facts.listen_ports = {Port(8000)};
  compare_with("ports", text_of(project_plan(Network::proxied), facts));
}

TEST_CASE("with a filtered network the proxy's port is all that can be reached") {
  SandboxPlan plan = project_plan(Network::proxied);
  plan.proxy.http = Port(4321);
  const std::string text = text_of(plan);
  CHECK_THAT(text, Contains("(allow network-outbound (remote tcp \"localhost:4321\"))"));
  CHECK(count(text, "(allow network") == 1);
  CHECK(text.find("(deny network*)") < text.find("(allow network"));
}

TEST_CASE("names cannot be carried out by the resolver unless the network is open") {
  for (const Network network : {Network::proxied, Network::blocked}) {
    const std::string text = text_of(project_plan(network));
    CHECK_THAT(text, !Contains("mDNSResponder"));
    CHECK_THAT(text, !Contains("dnssd"));
  }
}

TEST_CASE("no profile allows all of the network or all services") {
  for (const Network network : {Network::proxied, Network::blocked, Network::open}) {
    const std::string text = text_of(project_plan(network));
    CHECK_THAT(text, !Contains("(allow network*)"));
    CHECK_THAT(text, !Contains("(allow mach-lookup)") && !Contains("(allow mach*"));
    CHECK_THAT(text, !Contains("(allow default)") && !Contains("(allow file-read*)"));
    for (const char* service : {"securityd", "SecurityServer", "pasteboard", "launchd", "trustd",
                                "coreservices", "cfprefsd"}) {
      CHECK_THAT(text, !Contains(service));
    }
  }
}

TEST_CASE("what is denied stands behind everything that is allowed") {
  const std::string text = text_of(project_plan(Network::open));
  CHECK(text.rfind("(allow ") < text.find("(deny file-"));
  CHECK_THAT(text, Contains("(subpath \"/Users/me/.ssh\")"));
}

TEST_CASE("a folder above a denied path cannot be moved from under it") {
  const std::string text = text_of(project_plan(Network::proxied));
  for (const char* folder : {"/Users", "/Users/me", "/Users/me/.config", "/Users/me/project"}) {
    CHECK_THAT(text,
               Contains("(deny file-write-unlink (literal \"" + std::string(folder) + "\"))"));
  }
}

TEST_CASE("a path in a linked folder is named in both forms") {
  using Forms = std::vector<std::string>;
  CHECK(forms_of("/var/db/x") == Forms{"/var/db/x", "/private/var/db/x"});
  CHECK(forms_of("/private/var/db/x") == Forms{"/var/db/x", "/private/var/db/x"});
  CHECK(forms_of("/tmp") == Forms{"/tmp", "/private/tmp"});
  CHECK(forms_of("/private/etc") == Forms{"/etc", "/private/etc"});
  CHECK(forms_of("/variable") == Forms{"/variable"});
  CHECK(forms_of("/private/variable") == Forms{"/private/variable"});
  CHECK(forms_of("/Users/me/tmp") == Forms{"/Users/me/tmp"});
}

TEST_CASE("a path cannot end its string and add a rule") {
  SandboxPlan plan = project_plan(Network::blocked);
  plan.grants = {{"/a\")(allow network*)(\"", true, false, true}, {"/b\\", true, false, true}};
  const std::string text = text_of(plan);
  CHECK_THAT(text, Contains("\"/a\\\")(allow network*)(\\\"\""));
  CHECK_THAT(text, Contains("\"/b\\\\\""));
  CHECK(quoted("/plain") == "\"/plain\"");
}

TEST_CASE("a path with a control character, or a relative one, is refused") {
  for (const char* path : {"/a\nb", "/a\x7f", "/a\tb", "relative", ""}) {
    SandboxPlan plan = project_plan(Network::blocked);
    plan.denies = {{path, "flag"}};
    const Result<std::string> text = seatbelt_profile(plan, usual_facts());
    REQUIRE_FALSE(text);
    CHECK(text.error().code == ErrorCode::bad_input);
  }
}

TEST_CASE("a grant to write only cannot be read, a file is granted without its folder") {
  SandboxPlan plan = project_plan(Network::blocked);
  plan.grants = {{"/out", false, true, true}, {"/one/file", true, true, false}};
  plan.denies.clear();
  plan.read_only_paths.clear();
  const std::string text = text_of(plan);
  CHECK(count(text, "(subpath \"/out\")") == 1);
  CHECK_THAT(text, Contains("(allow file-write* (subpath \"/out\"))"));
  CHECK(count(text, "(literal \"/one/file\")") == 2);
  CHECK_THAT(text, !Contains("(subpath \"/one"));
}

}  // namespace
}  // namespace nono::sandbox
