#include "config/profile.hpp"

#include <catch2/catch.hpp>

#include "fixture.hpp"

using namespace nono;
using Catch::Matchers::Contains;
using test::Home;

namespace {

std::string error_of(const std::string& text, const std::string& file = "p.json") {
  Home home;
  Result<Settings> settings = parse_profile(text, file, home.user());
  REQUIRE_FALSE(settings);
  CHECK(settings.error().code == ErrorCode::bad_input);
  return settings.error().what;
}

Settings good(const std::string& text, const std::string& file = "p.json") {
  Home home;
  Result<Settings> settings = parse_profile(text, file, home.user());
  INFO((settings ? "" : settings.error().what));
  REQUIRE(settings);
  return *settings;
}

const char* const guide = R"({
"meta": { "name": "untrusted-python", "version": "1.0.0" },
"workdir": { "access": "readwrite" },
"security": { "groups": ["python_runtime"] },
"filesystem": {
"read_file": ["/etc/ssl/cert.pem"],
"write": ["/tmp"]
},
"policy": {
"add_deny_access": [
"$HOME/.ssh", "$HOME/.aws", "$HOME/.gnupg"
]
},
"network": {
"allow_hosts": ["api.openai.com"]
}
}
)";

struct Bad {
  const char* name;
  const char* text;
  const char* says;
};

}  // namespace

TEST_CASE("the guide's profile loads as printed, and no word of it is called old") {
  Settings s = good(guide);
  CHECK(s.name == "untrusted-python");
  CHECK(s.workdir_access == Access::read_write);
  CHECK(s.include_groups == std::vector<std::string>{"python_runtime"});
  REQUIRE(s.paths.size() == 2);
  CHECK(s.paths[0].path == "/etc/ssl/cert.pem");
  CHECK(s.paths[0].file);
  CHECK(s.paths[0].access == Access::read);
  CHECK(s.paths[1].path == "/tmp");
  CHECK(s.paths[1].access == Access::write);
  REQUIRE(s.deny_paths.size() == 3);
  CHECK(s.deny_paths[0].path == "$HOME/.ssh");
  REQUIRE(s.allow_hosts.size() == 1);
  CHECK(s.allow_hosts[0].text == "api.openai.com");
  CHECK(s.allow_hosts[0].origin.text == "p.json:15:17");
  CHECK(s.notes.empty());
}

TEST_CASE("the canonical form means the same as the guide's, in JSON and in YAML") {
  Settings json = good(R"({"meta":{"name":"untrusted-python","version":"1.0.0"},
    "workdir":{"access":"readwrite"},"groups":{"include":["python_runtime"]},
    "filesystem":{"read_file":["/etc/ssl/cert.pem"],"write":["/tmp"],
                  "deny":["$HOME/.ssh","$HOME/.aws","$HOME/.gnupg"]},
    "network":{"allow_domain":["api.openai.com"]}})");
  Settings yaml = good(
      "meta: {name: untrusted-python, version: 1.0.0}\n"
      "workdir: {access: readwrite}\n"
      "groups:\n  include: [python_runtime]\n"
      "filesystem:\n  read_file: [/etc/ssl/cert.pem]\n  write: [/tmp]\n"
      "  deny: [$HOME/.ssh, $HOME/.aws, $HOME/.gnupg]\n"
      "network:\n  allow_domain: [api.openai.com]\n",
      "p.yaml");
  Settings printed = good(guide);
  for (const Settings* s : {&json, &yaml}) {
    CHECK(s->name == printed.name);
    CHECK(s->workdir_access == printed.workdir_access);
    CHECK(s->include_groups == printed.include_groups);
    CHECK(s->paths.size() == printed.paths.size());
    CHECK(s->deny_paths.size() == printed.deny_paths.size());
    CHECK(s->allow_hosts.at(0).text == "api.openai.com");
  }
}

TEST_CASE("comments, trailing commas and tabs are allowed in JSON, and positions stay right") {
  Settings s = good(
      "{ // a comment with \"quotes\"\n\t/* and\n another */\n\t\"network\": {\n"
      "\t\t\"allow_domain\": [\"a.example\", \"b.example\",],\n\t},\n}\n");
  REQUIRE(s.allow_hosts.size() == 2);
  CHECK(s.allow_hosts[1].origin.text == "p.json:5:33");
  CHECK(good(R"({"meta": {"name": "has // no /* comment */, ]"}})").name ==
        "has // no /* comment */, ]");
}

TEST_CASE("a broken profile is an error with its position") {
  const Bad table[] = {
      {"missing comma", "{\n  \"meta\": {\"name\": \"x\"}\n  \"groups\": {}\n}",
       "p.json:3:3: expected ',' or '}'"},
      {"missing brace", "{\"meta\": {\"name\": \"x\"}",
       "p.json:1:23: expected ',' or '}', found end of file"},
      {"open string", "{\"meta\": \"x\n}", "p.json:1:12: this string has no closing quote"},
      {"open comment", "{ /* ...\n}", "p.json:1:3: this comment has no end"},
      {"bare key", "{meta: {}}", "p.json:1:2: expected a key in double quotes"},
      {"single quotes", "{'meta': {}}", "expected a key in double quotes, found '''"},
      {"two documents", "{} {}", "p.json:1:4: unexpected '{' after the end"},
      {"not a map", "[1]", "p.json:1:1: expected a map of settings, found a list"},
      {"empty", "  \n", "p.json:1:1: the file is empty"},
      {"bad word", "{\"network\": {\"block\": yes}}", "p.json:1:23: expected a value"},
      {"bad number", "{\"network\": {\"block\": 01}}", "numbers have no leading zeros"},
      {"bad escape", "{\"meta\": {\"name\": \"\\q\"}}", "unknown escape"},
      {"control character", "{\"meta\": \"a\x01\"}", "p.json:1:12: control character 0x01"},
  };
  for (const Bad& bad : table) {
    INFO(bad.name);
    CHECK_THAT(error_of(bad.text), Contains(bad.says));
  }
  CHECK_THAT(error_of("network:\n  block: [true\nworkdir: {}\n", "p.yaml"), Contains("p.yaml:"));
  CHECK_THAT(error_of("a: b: c\n", "p.yaml"), Contains("p.yaml:1:"));
  CHECK_THAT(error_of("meta: {name: x}\n---\nmeta: {name: y}\n", "p.yaml"),
             Contains("p.yaml:2:1: expected one document"));
  std::string deep(5000, '[');
  CHECK_THAT(error_of("{\"a\":" + deep), Contains("nested too deeply"));
}

TEST_CASE("what does not fit the schema is an error with position and suggestion") {
  const Bad table[] = {
      {"unknown key", "{\n \"netwrok\": {}\n}",
       "p.json:2:2: unknown key netwrok; did you mean network?"},
      {"unknown inner key", "{\"network\": {\"alow_domain\": []}}",
       "p.json:1:14: unknown key network.alow_domain; did you mean allow_domain?"},
      {"unknown meta key", "{\"meta\": {\"name\": \"x\", \"verison\": \"1\"}}",
       "unknown key meta.verison; did you mean version?"},
      {"no name in meta", "{\"meta\": {\"version\": \"1\"}}", "meta: name is missing"},
      {"list for a map", "{\"network\": []}", "p.json:1:13: network: expected a map, found a list"},
      {"string for a list", "{\"network\": {\"allow_domain\": \"a.example\"}}",
       "network.allow_domain: expected a list, found a string"},
      {"number for a string", "{\"meta\": {\"name\": 7}}",
       "meta.name: expected a string, found a number"},
      {"quoted true", "{\"network\": {\"block\": \"true\"}}",
       "network.block: expected true or false, found a string"},
      {"bad word", "{\"workdir\": {\"access\": \"readwrit\"}}",
       "p.json:1:24: workdir.access: readwrit is none of its values; did you mean readwrite?"},
      {"duplicate", "{\"network\": {\"block\": true, \"block\": false}}",
       "p.json:1:29: duplicate key network.block"},
      {"duplicate top", "{\"network\": {}, \"network\": {}}", "p.json:1:17: duplicate key network"},
      {"unknown group", "{\"groups\": {\"include\": [\"pyton_runtime\"]}}",
       "unknown policy group pyton_runtime; did you mean python_runtime?"},
      {"required group", "{\"groups\": {\"exclude\": [\"deny_credentials\"]}}",
       "cannot exclude the required group deny_credentials"},
      {"unknown network profile", "{\"network\": {\"network_profile\": \"minimall\"}}",
       "p.json:1:33: network.network_profile: no network profile is called minimall; did you mean "
       "minimal?"},
      {"not there yet", "{\"network\": {\"connect_port\": [80]}}",
       "p.json:1:14: network.connect_port is not supported yet"},
      {"a port that is none", "{\"network\": {\"open_port\": [0]}}",
       "p.json:1:28: network.open_port"},
      {"value not there yet", "{\"security\": {\"signal_mode\": \"allow_all\"}}",
       "allow_all is not supported yet"},
      {"PATH set", "{\"environment\": {\"set_vars\": {\"PATH\": \"/x\"}}}", "PATH cannot be set"},
      {"own variable set", "{\"environment\": {\"set_vars\": {\"NONO_X\": \"1\"}}}",
       "NONO_X cannot be set"},
      {"bad variable pattern", "{\"environment\": {\"deny_vars\": [\"A*B\"]}}",
       "A*B is no variable name"},
      {"bad range", "{\"network\": {\"allow_private\": [\"10.0.0.1/8\"]}}",
       "p.json:1:32: network.allow_private"},
      {"DNS server by name", "{\"network\": {\"dns_servers\": [\"dns.example\"]}}",
       "dns.example is no address"},
      {"endpoints that allow nothing",
       "{\"network\": {\"allow_domain\": [{\"domain\": \"a.example\", \"endpoints\": []}]}}",
       "an empty list would allow nothing"},
      {"endpoint without slash",
       "{\"network\": {\"allow_domain\": [{\"domain\": \"a.example\", \"endpoints\": [{\"path\": "
       "\"x\"}]}]}}",
       "the path must start with '/'"},
      {"a path that is no string", "{\"filesystem\": {\"read\": [{\"pth\": \"/x\"}]}}",
       "unknown key filesystem.read.pth; did you mean path?"},
      {"a group of paths", "{\"filesystem\": {\"read\": [\"\"]}}", "an empty path"},
  };
  for (const Bad& bad : table) {
    INFO(bad.name);
    CHECK_THAT(error_of(bad.text), Contains(bad.says));
  }
}

TEST_CASE("all errors of a file are told at once") {
  std::string what = error_of(
      "{\"netwrok\": {},\n \"workdir\": {\"access\": 3},\n \"groups\": {\"include\": [\"x_y\"]}}");
  CHECK_THAT(what, Contains("p.json:1:2:") && Contains("p.json:2:24:") && Contains("p.json:3:25:"));
}

TEST_CASE("a key whose feature is missing is no error where it asks for nothing") {
  good(R"({"network": {"open_port": [], "allow_http2": false}, "hooks": {}})");
  CHECK_FALSE(
      good(R"({"network": {"upstream_proxy": null, "upstream_bypass": []}})").upstream_proxy);
}

TEST_CASE("old names work and are noted once, meaningless ones say so") {
  Settings s = good(R"({"$schema": "https://x.example/s.json",
    "policy": {"exclude_groups": ["dangerous_commands"], "add_allow_read": ["/opt"], "add_deny_commands": ["rm"]},
    "network": {"proxy_allow": ["a.example"]}})");
  CHECK(s.allow_hosts.size() == 1);
  CHECK(s.paths.size() == 1);
  CHECK(s.notes.size() == 5);
  CHECK(std::any_of(s.notes.begin(), s.notes.end(), [](const std::string& n) {
    return n == "p.json: network.proxy_allow is an old name; write network.allow_domain";
  }));
}

TEST_CASE("custom credentials are checked whole") {
  auto custom = [](const std::string& fields) {
    return "{\"network\": {\"custom_credentials\": {\"my-api\": {" + fields + "}}}}";
  };
  Settings s =
      good(custom(R"("upstream": "https://api.example/v2/", "credential_key": "my_api_key")"));
  const CredentialRoute& route = s.custom_credentials.at("my-api");
  CHECK(route.upstream->to_string() == "api.example:443");
  CHECK(route.base_path == "/v2");
  CHECK(route.injection.format == "Bearer {}");
  CHECK(route.sources == std::vector<std::string>{"keyring://nono/my_api_key"});
  CHECK(route.phantom_vars == std::vector<std::string>{"MY_API_KEY"});
  CHECK(route.base_url_vars == std::vector<std::string>{"MY_API_BASE_URL"});
  CHECK(
      good(
          custom(
              R"("upstream": "http://127.0.0.1:9", "credential_key": "env://K", "inject_header": "x-key")"))
          .custom_credentials.at("my-api")
          .injection.format == "{}");

  const std::pair<const char*, const char*> bad[] = {
      {R"("credential_key": "k")", "upstream is missing"},
      {R"("upstream": "https://a.example")", "credential_key is missing"},
      {R"("upstream": "http://a.example", "credential_key": "k")", "only loopback may"},
      {R"("upstream": "http://10.0.0.1", "credential_key": "k")", "only loopback may"},
      {R"("upstream": "ftp://a.example", "credential_key": "k")",
       "upstream must start with https://"},
      {R"("upstream": "https://u:p@a.example", "credential_key": "k")",
       "no user, query or fragment"},
      {R"("upstream": "https://a.example/?q", "credential_key": "k")",
       "no user, query or fragment"},
      {R"("upstream": "https://a.example", "credential_key": "op://v/i/f")",
       "op:// is not supported yet"},
      {R"("upstream": "https://a.example", "credential_key": "file:///k")", "env_var is missing"},
      {R"("upstream": "https://a.example", "credential_key": "k", "env_var": "1X")",
       "env_var is no variable name"},
      {R"("upstream": "https://a.example", "credential_key": "k", "inject_header": "X Y")",
       "inject_header is no field name"},
      {R"("upstream": "https://a.example", "credential_key": "k", "inject_header": "Content-Length")",
       "cannot carry a key"},
      {R"("upstream": "https://a.example", "credential_key": "k", "credential_format": "Bearer")",
       "credential_format wants one {}"},
      {R"("upstream": "https://a.example", "credential_key": "k", "credential_format": "a\r\nb: {}")",
       "credential_format wants one {}"},
      {R"("upstream": "https://a.example", "credential_key": "k", "inject_mode": "haeder")",
       "did you mean header?"},
      {R"("upstream": "https://a.example", "credential_key": "k", "inject_mode": "url_path")",
       "url_path wants path_pattern"},
      {R"("upstream": "https://a.example", "credential_key": "k", "inject_mode": "query_param")",
       "query_param wants query_param_name"},
      {R"("upstream": "https://a.example", "auth": {"token_url": "x"}, "credential_key": "k")",
       "auth is not supported yet"},
      {R"("upstrem": "https://a.example", "credential_key": "k")", "did you mean upstream?"},
  };
  for (const auto& [fields, says] : bad) {
    INFO(fields);
    CHECK_THAT(error_of(custom(fields)), Contains(says));
  }
}

TEST_CASE("profiles inherit: lists append, scalars and switches as documented") {
  Home home;
  home.file("home/.config/nono/profiles/base.json",
            R"({"filesystem": {"read": ["/opt"]}, "network": {"network_profile": "minimal",
                "allow_domain": ["a.example"], "credentials": ["openai"]}})");
  std::string child = home.file("project/child.json",
                                R"({"extends": "base", "filesystem": {"read": ["/opt", "/srv"]},
                "network": {"network_profile": null, "allow_domain": ["b.example"], "credentials": []}})");
  Result<Settings> s = load_profile(child, home.user());
  REQUIRE(s);
  CHECK(s->name == "child");
  CHECK(s->paths.size() == 2);
  CHECK(s->allow_hosts.size() == 2);
  CHECK(s->network_profile == std::string());
  CHECK(s->credentials.empty());
  CHECK(s->policy_files.size() == 2);
}

TEST_CASE("a file put beside a profile does not become the base that a name meant before") {
  Home home;
  home.file("home/.config/nono/profiles/base.json", R"({"filesystem": {"read": ["/user"]}})");
  home.file("project/base.json", R"({"filesystem": {"read": ["/beside"]}})");
  home.file("project/go-dev.json", R"({"filesystem": {"read": ["/beside"]}})");
  std::string child = home.file("project/child.yaml", "extends: [base, go-dev]\n");
  Result<Settings> s = load_profile(child, home.user());
  REQUIRE(s);
  REQUIRE(s->paths.size() == 1);
  CHECK(s->paths.at(0).path == "/user");
  // Only beside the file, and then under one ending.
  child = home.file("project/second.yaml", "extends: [own]\n");
  home.file("project/own.json", R"({"filesystem": {"read": ["/own"]}})");
  s = load_profile(child, home.user());
  REQUIRE(s);
  CHECK(s->paths.at(0).path == "/own");
  home.file("project/own.jsonc", R"({"filesystem": {"read": ["/planted"]}})");
  s = load_profile(child, home.user());
  REQUIRE_FALSE(s);
  CHECK_THAT(s.error().what, Contains("may be") && Contains("own.jsonc"));
}

TEST_CASE("every link on the way to a profile is known") {
  Home home;
  home.file("real/p.json", "{}");
  home.link("project/direct.json", "../real/p.json");
  home.link("project/folder", home.path("real"));
  home.link("project/twice.json", "folder/p.json");
  auto links = [&](const std::string& profile) {
    Result<Settings> s = load_profile(profile, home.user());
    REQUIRE(s);
    CHECK(s->policy_files == std::vector<std::string>{home.path("real/p.json")});
    return s->policy_links;
  };
  CHECK(links(home.path("real/p.json")).empty());
  CHECK(links("./direct.json") == std::vector<std::string>{home.path("project/direct.json")});
  CHECK(links("folder/p.json") == std::vector<std::string>{home.path("project/folder")});
  CHECK(links("folder/../real/p.json") == std::vector<std::string>{home.path("project/folder")});
  CHECK(links("./twice.json") ==
        std::vector<std::string>{home.path("project/twice.json"), home.path("project/folder")});
}

TEST_CASE("circles and endless chains of profiles end in an error") {
  Home home;
  std::string a = home.file("project/a.json", R"({"extends": "b"})");
  home.file("project/b.json", R"({"extends": "./a.json"})");
  Result<Settings> s = load_profile(a, home.user());
  REQUIRE_FALSE(s);
  CHECK_THAT(s.error().what, Contains("Profile inheritance error: a circle at"));
  for (int i = 0; i < 15; ++i) {
    home.file("project/c" + std::to_string(i) + ".json",
              "{\"extends\": \"c" + std::to_string(i + 1) + "\"}");
  }
  s = load_profile(home.path("project/c0.json"), home.user());
  REQUIRE_FALSE(s);
  CHECK_THAT(s.error().what, Contains("more than 10 levels"));
  // Every level doubled: short files that would take 2^10 loads.
  for (int i = 0; i < 9; ++i) {
    std::string next = "d" + std::to_string(i + 1);
    home.file("project/d" + std::to_string(i) + ".json",
              "{\"extends\": [\"" + next + "\", \"" + next + "\"]}");
  }
  home.file("project/d9.json", "{}");
  CHECK_FALSE(load_profile(home.path("project/d0.json"), home.user()));
}

TEST_CASE("a profile is found by name in the user's directory, then among the built-in ones") {
  Home home;
  CHECK(load_profile("default", home.user()));
  Result<Settings> python = load_profile("python-dev", home.user());
  REQUIRE(python);
  CHECK(python->network_profile == std::string("developer"));
  home.file("home/.config/nono/profiles/python-dev.yaml",
            "extends: python-dev\nnetwork: {network_profile: minimal}\n");
  python = load_profile("python-dev", home.user());
  REQUIRE(python);
  CHECK(python->network_profile == std::string("minimal"));
  CHECK_THAT(python->include_groups,
             Catch::Matchers::VectorContains(std::string("python_runtime")));
}

TEST_CASE("a profile that is not there is named, with the nearest that is") {
  Home home;
  Result<Settings> s = load_profile("pyton-dev", home.user());
  REQUIRE_FALSE(s);
  CHECK(s.error().what == "Profile not found: pyton-dev; did you mean python-dev?");
  s = load_profile("./nothing.json", home.user());
  REQUIRE_FALSE(s);
  CHECK_THAT(s.error().what, Contains("nothing.json: No such file"));
  CHECK_FALSE(load_profile("..", home.user()));
  CHECK_FALSE(load_profile("", home.user()));
  home.directory("project/dir.json");
  s = load_profile("dir.json", home.user());
  REQUIRE_FALSE(s);
  CHECK_THAT(s.error().what, Contains("is not a regular file"));
}

TEST_CASE("a YAML file whose aliases would expand to millions of nodes is refused") {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    std::string b = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + b;
    for (int j = 0; j < 9; ++j) text += ", " + b;
    text += "]\n";
  }
  CHECK_THAT(error_of(text, "p.yaml"), Contains("too large once its aliases are expanded"));
}

TEST_CASE("a YAML alias within what it names, or nesting without end, is refused") {
  CHECK_THAT(error_of("a: &a [x, *a]\n", "p.yaml"), Contains("too large"));
  CHECK_THAT(error_of("a: &a {b: {c: *a}}\n", "p.yaml"), Contains("too large"));
  const std::string deep = "a: " + std::string(200, '[') + std::string(200, ']');
  CHECK_THAT(error_of(deep, "p.yaml"), Contains("too large"));
  CHECK_THAT(error_of("a\x7f: 1\n", "p.yaml"), Contains("control character 0x7f"));
}

TEST_CASE("set_vars expands variables, and says which is not set") {
  Home home;
  Result<Settings> s = parse_profile(R"({"environment": {"set_vars": {"CACHE": "$HOME/c"}}})",
                                     "p.json", home.user());
  REQUIRE(s);
  CHECK(s->set_env.at("CACHE") == home.path("home/c"));
  CHECK_THAT(error_of(R"({"environment": {"set_vars": {"C": "$NOPE_X/c"}}})"),
             Contains("$NOPE_X is not set"));
}

TEST_CASE("a profile may say that it observes, and what tunnels to a host may do") {
  Settings s = good(R"({"network": {"mode": "observe", "allow_domain": [
      {"domain": "a.example", "sni": "any", "ech": "refuse"}, "b.example"]}})");
  CHECK(s.observe == true);
  CHECK(s.allow_hosts.at(0).any_sni);
  CHECK(s.allow_hosts.at(0).refuse_ech);
  CHECK_FALSE(s.allow_hosts.at(1).any_sni);
  CHECK(good(R"({"network": {"mode": "enforce"}})").observe == false);
  CHECK_THAT(error_of(R"({"network": {"mode": true}})"), Contains("p.json:1:22: network.mode"));
  CHECK_THAT(
      error_of(R"({"network": {"deny_domain": [{"domain": "a.example", "ech": "refuse"}]}})"),
      Contains("unknown key network.deny_domain.ech"));
}
