// The documents name every key, and their example is a working file.

#include <catch2/catch.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "config/document.hpp"
#include "config/groups.hpp"
#include "config/host_groups.hpp"
#include "config/profile_schema.hpp"
#include "config/proxy_config.hpp"
#include "config/proxy_schema.hpp"
#include "config/resolve.hpp"
#include "fixture.hpp"
#include "tests/support/checkout.hpp"

using namespace nono;
using test::Home;

TEST_CASE("the example nono.yaml is one that works") {
  Home home;
  Result<ProxyConfig> config = load_proxy_config(testing::source_dir() + "/docs/nono.yaml", home.user());
  INFO((config ? "" : config.error().what));
  REQUIRE(config);
  ResolveOptions options;
  options.for_run = false;
  Result<SessionConfig> session = resolve(config->session, home.user(), options);
  INFO((session ? "" : session.error().what));
  REQUIRE(session);
  CHECK(session->credentials.size() == 2);
  for (const SessionEntry& entry : config->sessions) {
    INFO(entry.name);
    Result<SessionConfig> own = resolve(entry.settings, home.user(), options);
    INFO((own ? "" : own.error().what));
    CHECK(own);
  }
}

namespace {

// The example with its commented-out keys in force, so that they are seen as keys in their place.
std::string uncommented(const std::string& text) {
  const std::regex key(R"(^( *)# ( *[a-z_]+:( .*)?)$)");
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    result += std::regex_replace(line, key, "$1$2") + "\n";
  }
  return result;
}

void collect(const YAML::Node& map, const std::string& prefix, std::set<std::string>& paths) {
  for (const auto& item : map) {
    const std::string path = prefix + item.first.Scalar();
    paths.insert(path);
    if (item.second.IsMap()) collect(item.second, path + ".", paths);
  }
}

}  // namespace

TEST_CASE("the example nono.yaml has every key that works") {
  std::string text = *document::read_text(testing::source_dir() + "/docs/nono.yaml", "document");
  Result<YAML::Node> root = document::parse(uncommented(text), "nono.yaml");
  INFO((root ? "" : root.error().what));
  REQUIRE(root);
  std::set<std::string> there;
  collect(*root, "", there);
  for (const document::Key<document::ProxyFile>& key : document::proxy_keys()) {
    if (key.read == nullptr) continue;
    INFO(key.path);
    CHECK(there.count(std::string(key.path)) == 1);
  }
  std::set<std::string> in_sessions;
  for (const YAML::Node& entry : (*root)["sessions"]) collect(entry, "", in_sessions);
  const std::set<std::string> not_there{"dns",       "threads",    "tls",     "audit",
                                        "auth",      "metrics",    "admin",
                                        "sessions",  "drain_time", "reload",  "reload_on_change",
                                        "log_level", "via",        "socks5"};
  for (const document::Key<document::SessionFile>& key : document::session_keys()) {
    // Of network a session has all that the top has; one line of the example says so.
    const bool known = key.read == nullptr || key.path.starts_with("network.") ||
                       not_there.count(std::string(key.path)) == 1;
    if (known) continue;
    INFO(key.path);
    CHECK(in_sessions.count(std::string(key.path)) == 1);
  }
}

TEST_CASE(
    "the reference names every key of a profile that works, every group and every set of hosts") {
  std::string text = *document::read_text(testing::source_dir() + "/docs/profiles.md", "document");
  for (const document::Key<document::ProfileFile>& key : document::profile_keys()) {
    if (key.read == nullptr) continue;
    INFO(key.path);
    std::string_view last = key.path.substr(key.path.rfind('.') + 1);
    bool named = text.find(key.path) != std::string::npos ||
                 text.find(std::string(last) + "`") != std::string::npos ||
                 key.path.starts_with("commands.");
    CHECK(named);
  }
  std::vector<std::string> names = path_group_names();
  for (const std::string& name : host_group_names()) names.push_back(name);
  for (const std::string& name : network_profile_names()) names.push_back(name);
  for (const std::string& name : names) {
    INFO(name);
    CHECK(text.find("`" + name + "`") != std::string::npos);
  }
}
