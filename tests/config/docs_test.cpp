// The documents name every key, and their example is a working file.

#include <catch2/catch.hpp>

#include "config/document.hpp"
#include "config/groups.hpp"
#include "config/host_groups.hpp"
#include "config/profile_schema.hpp"
#include "config/proxy_config.hpp"
#include "config/resolve.hpp"
#include "fixture.hpp"

using namespace nono;
using test::Home;

TEST_CASE("the example nono.yaml is one that works") {
  Home home;
  Result<ProxyConfig> config = load_proxy_config(NONO_SOURCE_DIR "/docs/nono.yaml", home.user());
  INFO((config ? "" : config.error().what));
  REQUIRE(config);
  ResolveOptions options;
  options.for_run = false;
  Result<SessionConfig> session = resolve(config->session, home.user(), options);
  INFO((session ? "" : session.error().what));
  REQUIRE(session);
  CHECK(session->credentials.size() == 2);
}

TEST_CASE(
    "the reference names every key of a profile that works, every group and every set of hosts") {
  std::string text = *document::read_text(NONO_SOURCE_DIR "/docs/profiles.md", "document");
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
