#include "config/registries.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "config/base/fd.hpp"
#include "config/canonical_paths.hpp"
#include "config/document.hpp"
#include "config/expand.hpp"
#include "config/helper_program.hpp"

namespace nono {
namespace {

constexpr std::chrono::milliseconds time_max{
    8000};  // all of them together; each needs under one second

// pip knows the index that its settings name, and for the public one also where the files are.
constexpr const char* ask_pip = R"(
from urllib.parse import urlsplit
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
settings = Configuration(isolated=False)
settings.load()
index, more = PyPI.simple_url, []
for key, value in settings.items():
    name = key.rsplit(".", 1)[-1]
    if name == "index-url":
        index = value
    elif name in ("extra-index-url", "find-links"):
        more += value.split()
for url in [index] + more:
    print(url)
if urlsplit(index).hostname == PyPI.netloc:
    print("https://" + PyPI.file_storage_domain)
)";

// Maven's own model says where it looks without settings; mirrors and repositories stand in
// settings.xml.
constexpr const char* ask_maven = R"(
import glob, os, re, sys, zipfile
home, user = sys.argv[1], sys.argv[2]
texts = []
for jar in glob.glob(os.path.join(home, "lib", "maven-model-builder-*.jar")):
    texts.append(zipfile.ZipFile(jar).read("org/apache/maven/model/pom-4.0.0.xml").decode())
for path in (os.path.join(home, "conf", "settings.xml"), os.path.join(user, ".m2", "settings.xml")):
    if os.path.exists(path):
        texts.append(open(path, encoding="utf-8").read())
for text in texts:
    for url in re.findall(r"<url>\s*([^<\s]+)\s*</url>", re.sub(r"(?s)<!--.*?-->", "", text)):
        print(url)
)";

// A loopback port that is ours and answers nobody: clients that are given it as their proxy reach
// nothing.
class ClosedPort {
 public:
  ClosedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (socket_ && ::bind(socket_.get(), generic, size) == 0 &&
        ::getsockname(socket_.get(), generic, &size) == 0) {
      url_ = fmt::format("http://127.0.0.1:{}", ntohs(address.sin_port));
    }
  }
  const std::string& url() const { return url_; }

 private:
  UniqueFd socket_;
  std::string url_ = "http://127.0.0.1:9";
};

class Registries {
 public:
  Registries(const Settings& settings, const UserContext& user, const ResolveOptions& options)
      : user_(user) {
    if (user.cwd != "/") untrusted_.push_back(user.cwd);
    for (const PathRule& rule : settings.paths) {
      if (!options.for_run || rule.access == Access::read) continue;
      if (Result<std::string> path = expand_path(rule.path, user)) untrusted_.push_back(*path);
    }
    find_directories();
  }

  Result<RegistryHosts> ask() {
    add_npm();
    add_pip();
    add_go();
    add_cargo();
    add_maven();
    add_gem();
    add("apt", "apt-get", {"indextargets", "--format", "$(REPO_URI)"});
    std::vector<std::optional<std::string>> answers = run_helpers(programs_, time_max);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      speaker_ = names_[i];
      if (answers[i]) read_answer(*answers[i]);
      if (answered_.count(speaker_) == 0) silent_.push_back(speaker_);
    }
    for (const char* name : {"UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL"}) {
      if (std::optional<std::string> value = user_.env(name)) add_urls(*value);
    }
    if (rules_.empty()) {
      return fail(ErrorCode::bad_input,
                  "package_registries: no package manager here says which hosts it uses",
                  "install one, or allow the hosts with --allow-domain");
    }
    return RegistryHosts{{rules_.begin(), rules_.end()}, silent_};
  }

 private:
  bool trusted(const std::string& path) const {
    return std::none_of(untrusted_.begin(), untrusted_.end(),
                        [&](const std::string& tree) { return lies_in(path, tree); });
  }

  // True where no such tree holds the path or lies in it.
  bool apart(const std::string& path) const {
    std::string real = canonical_path(path);
    return std::none_of(untrusted_.begin(), untrusted_.end(), [&](const std::string& tree) {
      return lies_in(real, tree) || lies_in(tree, real);
    });
  }

  // The same for a directory of the user's that a client loads code from.
  bool home_apart(const char* variable, const std::string& otherwise) const {
    std::optional<std::string> value = user_.env(variable);
    return apart(user_.home + otherwise) && (!value || apart(*value));
  }

  void find_directories() {
    std::string path = user_.env("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
    std::string_view rest = path;
    while (!rest.empty()) {
      std::size_t colon = std::min(rest.find(':'), rest.size());
      std::string_view entry = rest.substr(0, colon);
      rest.remove_prefix(std::min(colon + 1, rest.size()));
      if (!entry.starts_with('/')) continue;
      std::string directory = canonical_path(std::string(entry));
      struct stat info {};
      if (::stat(directory.c_str(), &info) != 0 || !trusted(directory)) continue;
      bool owned = info.st_uid == 0 || info.st_uid == user_.uid;
      if (owned && (info.st_mode & S_IWOTH) == 0) directories_.push_back(directory);
    }
  }

  std::string find(const std::string& name) const {
    for (const std::string& directory : directories_) {
      std::string path = directory + "/" + name;
      if (::access(path.c_str(), X_OK) == 0 && trusted(canonical_path(path))) return path;
    }
    return "";
  }

  // What settings are found by, and nothing else; every proxy is a closed port.
  std::vector<std::string> environment() const {
    std::vector<std::string> env = {"HOME=" + user_.home,
                                    "LC_ALL=C",
                                    "GOTOOLCHAIN=local",
                                    "GOFLAGS=",
                                    "GO111MODULE=off",
                                    "RUSTUP_AUTO_INSTALL=0",
                                    "CARGO_NET_RETRY=0",
                                    "CARGO_HTTP_PROXY=" + closed_.url(),
                                    "NPM_CONFIG_UPDATE_NOTIFIER=false",
                                    "PIP_NO_INPUT=1"};
    for (const char* name :
         {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) {
      env.push_back(fmt::format("{}={}", name, closed_.url()));
    }
    std::string path = "PATH=";
    for (const std::string& directory : directories_) path += directory + ":";
    path.pop_back();
    env.push_back(path);
    for (const char* name : {"GOPROXY", "GOSUMDB", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
                             "NPM_CONFIG_REGISTRY", "npm_config_registry"}) {
      if (std::optional<std::string> value = user_.env(name))
        env.push_back(fmt::format("{}={}", name, *value));
    }
    // What lies there is obeyed or even executed (a toolchain, a plugin), so it must not be the
    // command's doing; nor may a relative path follow us to "/".
    for (const char* name :
         {"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "CARGO_HOME", "RUSTUP_HOME",
          "PYENV_ROOT", "NVM_DIR", "PIP_CONFIG_FILE", "JAVA_HOME", "GEM_HOME"}) {
      std::optional<std::string> value = user_.env(name);
      if (value && value->starts_with('/') && apart(*value))
        env.push_back(fmt::format("{}={}", name, *value));
    }
    return env;
  }

  void add(const std::string& client, const std::string& program,
           std::vector<std::string> arguments, bool read_errors = false) {
    std::string path = find(program);
    if (path.empty()) return;
    HelperProgram helper;
    helper.executable = path;
    helper.argv = std::move(arguments);
    helper.argv.insert(helper.argv.begin(), program);
    helper.env = environment();
    helper.read_errors = read_errors;
    programs_.push_back(std::move(helper));
    names_.push_back(client);
  }

  void add_npm() { add("npm", "npm", {"config", "list", "--json"}); }

  void add_pip() {
    if (find("pip").empty() && find("pip3").empty()) return;
    add("pip", "python3", {"-I", "-c", ask_pip});
  }

  void add_go() { add("go", "go", {"env", "GOPROXY", "GOSUMDB"}); }

  // cargo has no command that names its index, but names it when it cannot be reached. Where the
  // crates are is said by the index itself, which cargo keeps once it was used.
  void add_cargo() {
    // rustup's cargo is a shim that runs what lies in its toolchains; cargo runs what its settings
    // name.
    if (home_apart("RUSTUP_HOME", "/.rustup") && home_apart("CARGO_HOME", "/.cargo")) {
      add("cargo", "cargo", {"search", "--limit", "1", "a"}, true);
    }
    std::string cargo_home = user_.env("CARGO_HOME").value_or(user_.home + "/.cargo");
    if (!trusted(canonical_path(cargo_home))) return;
    for (const std::string& index :
         CanonicalPaths().with_ending(cargo_home + "/registry/index/*")) {
      if (Result<std::string> text = document::read_text(index + "/config.json", "index")) {
        add_urls(*text);
      }
    }
  }

  // gem loads plugins from the user's gems.
  void add_gem() {
    bool clean =
        home_apart("GEM_HOME", "/.gem") && home_apart("XDG_DATA_HOME", "/.local/share/gem");
    if (clean) add("gem", "gem", {"sources", "--list"});
  }

  void add_maven() {
    std::string maven = find("mvn");
    if (maven.empty()) return;
    std::string home = parent_path(parent_path(canonical_path(maven)));
    add("maven", "python3", {"-I", "-c", ask_maven, home, user_.home});
  }

  void read_answer(const std::string& text) {
    if (speaker_ == "npm") {
      read_npm(text);
    } else if (speaker_ == "go") {
      read_go(text);
    } else if (speaker_ == "cargo") {
      read_cargo(text);
    } else {
      add_urls(text);
    }
  }

  void take(std::string_view url) {
    std::string rule = registry_rule(url);
    if (rule.empty()) return;
    answered_.insert(speaker_);
    rules_.insert(rule);
  }

  void read_npm(const std::string& text) {
    Result<YAML::Node> settings = document::parse(text, "npm.json");
    if (!settings) return;
    for (const auto& entry : *settings) {
      const std::string& key = entry.first.Scalar();
      bool registry = key == "registry" || key.ends_with(":registry");
      if (registry && entry.second.IsScalar()) take(entry.second.Scalar());
    }
  }

  // "https://a,https://b|direct", then "name[+key] [url]". `direct` and `off` are no hosts.
  void read_go(const std::string& text) {
    std::size_t line_end = std::min(text.find('\n'), text.size());
    std::string word;
    for (char c : text.substr(0, line_end) + ",") {
      if (c != ',' && c != '|') {
        word += c;
        continue;
      }
      if (word != "direct" && word != "off") take(word);
      word.clear();
    }
    std::string sums = text.substr(std::min(line_end + 1, text.size()));
    while (sums.ends_with('\n')) sums.pop_back();
    std::size_t space = sums.find(' ');
    if (space != std::string::npos) {
      take(sums.substr(space + 1));
    } else if (sums != "off") {
      take(sums.substr(0, sums.find('+')));
    }
  }

  // URLs in back quotes, but for the closed port. An index called index.X keeps its files at
  // static.X.
  void read_cargo(const std::string& text) {
    for (std::size_t from = text.find('`'); from != std::string::npos;) {
      std::size_t to = text.find('`', from + 1);
      if (to == std::string::npos) return;
      std::string rule = registry_rule(text.substr(from + 1, to - from - 1));
      if (!rule.empty() && rule.find("127.0.0.1") == std::string::npos) {
        answered_.insert(speaker_);
        rules_.insert(rule);
        if (rule.starts_with("index.")) rules_.insert("static." + rule.substr(6));
      }
      from = text.find('`', to + 1);
    }
  }

  // Every word or JSON string that is a URL.
  void add_urls(std::string_view text) {
    constexpr std::string_view separators = " \t\r\n\"',<>";
    while (!text.empty()) {
      std::size_t from = std::min(text.find_first_not_of(separators), text.size());
      text.remove_prefix(from);
      std::size_t to = std::min(text.find_first_of(separators), text.size());
      std::string_view word = text.substr(0, to);
      text.remove_prefix(to);
      if (word.find("://") != std::string_view::npos) take(word);
    }
  }

  const UserContext& user_;
  ClosedPort closed_;
  std::vector<std::string> untrusted_;    // trees that a command of ours may have written to
  std::vector<std::string> directories_;  // of PATH
  std::vector<HelperProgram> programs_;
  std::vector<std::string> names_;  // of the client each program speaks for
  std::string speaker_;             // whose answer is being read
  std::set<std::string> rules_;
  std::set<std::string> answered_;
  std::vector<std::string> silent_;
};

}  // namespace

std::string registry_rule(std::string_view url) {
  if (std::size_t plus = url.find("+http"); plus != std::string_view::npos)
    url.remove_prefix(plus + 1);
  bool tls = true;
  if (std::size_t scheme = url.find("://"); scheme != std::string_view::npos) {
    tls = url.starts_with("https:");
    if (!tls && !url.starts_with("http:")) return "";
    url.remove_prefix(scheme + 3);
  }
  std::string_view authority = url.substr(0, url.find_first_of("/?#"));
  if (std::size_t user = authority.rfind('@'); user != std::string_view::npos)
    authority.remove_prefix(user + 1);
  Port usual = tls ? https_port : http_port;
  Result<HostPort> target = parse_host_port(authority, usual);
  if (!target) return "";
  // A bare word is no host here: "(default)", "none", a scheme that lost its host.
  if (target->host.is_name() && target->host.name().text().find('.') == std::string::npos)
    return "";
  // Maven's settings name 0.0.0.0 to block a mirror; loopback would be the host's, not the
  // command's.
  if (!target->host.is_name()) {
    AddressClass kind = classify(target->host.address());
    bool reachable = kind == AddressClass::public_internet || kind == AddressClass::private_use ||
                     kind == AddressClass::cgnat;
    if (!reachable) return "";
  }
  return target->port == usual ? target->host.to_string() : target->to_string();
}

Result<RegistryHosts> registry_hosts(const Settings& settings, const UserContext& user,
                                     const ResolveOptions& options) {
  return Registries(settings, user, options).ask();
}

}  // namespace nono
