#include "tests/support/stage.hpp"
#include "tests/support/checkout.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>

#include <fmt/format.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace nono::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t dns_port = 5300;
// example.net is answered as well, but no test allows it: a look-up of it shows in the log.
constexpr std::array names = {"api.openai.com", "api.anthropic.com", "api.github.com",
                              "huggingface.co", "example.com",       "example.net",
                              "evil.example",   "plain.test",        "index.test",
                              "git.example",    "mail.example",      "db.example"};

sockaddr_in socket_address(const std::string& address, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  return to;
}

const sockaddr* generic(const sockaddr_in& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

bool may_bind(const std::string& address, std::uint16_t port) {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in to = socket_address(address, port);
  return ::bind(probe.get(), generic(to), sizeof to) ==
         0;  // close() leaves errno alone when it succeeds
}

std::string binary_under_test() {
  const char* other = std::getenv("NONO_TEST_BINARY");
  return other != nullptr ? other : built_binary();
}

void openssl(const TempDir& dir, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                       "ec_paramgen_curve:P-256", "-nodes", "-days", "2"});
  const Finished made = run({arguments, plain_environment(dir.path()), dir.path(), {}, ""});
  if (made.code != 0) throw std::runtime_error("openssl: " + made.err);
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(nlohmann::json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

std::unique_ptr<Process> start(const Command& command, std::string_view ready) {
  auto process = std::make_unique<Process>(command);
  if (!process->wait_for(ready)) {
    throw std::runtime_error(command.argv[0] + " did not start: " + process->err());
  }
  return process;
}

}  // namespace

std::unique_ptr<Stage> Stage::make(std::optional<uid_t> user) {
  if (user && run({{"true"}, plain_environment("/"), "/", user, ""}).code != 0) {
    std::puts("skipped by name: changing to another user");
    return nullptr;
  }
  // Port 1023 may be taken by another test's probe; only being forbidden counts.
  if (!may_bind("127.0.0.1", 1023) && errno == EACCES) {
    std::puts("skipped by name: binding ports below 1024");
    return nullptr;
  }
  return std::unique_ptr<Stage>(new Stage(user));
}

Stage::Stage(std::optional<uid_t> user)
    : user_(user),
      dir_(user),
      address_(random_loopback()),
      real_key_("sk-real-" + random_hex()),
      binary_(binary_under_test()) {
  home_ = dir_.make_folder("home");
  project_ = dir_.make_folder("home/project");
  dir_.make_folder("root");
  // The build tree may lie where another user cannot look.
  if (user_) binary_ = dir_.copy(binary_, "bin/nono");
  make_certificates();
  start_origin();
  start_dns();
}

void Stage::make_certificates() const {
  openssl(dir_, {"-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-addext",
                 "keyUsage=critical,keyCertSign,cRLSign"});
  std::string alternatives = "subjectAltName=IP:" + address_;
  for (const char* name : names) alternatives += fmt::format(",DNS:{}", name);
  openssl(dir_, {"-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "origin.key", "-out", "origin.pem",
                 "-subj", "/CN=origin", "-addext", alternatives, "-addext",
                 "basicConstraints=critical,CA:FALSE"});
  // openssl writes as root; the CA's certificate is for everyone.
  fs::permissions(ca_file(), fs::perms{0644});
  dir_.write("home/project/ca.pem", read_file(ca_file()));
}

void Stage::start_origin() {
  const std::string script = source_dir() + "/tests/support/origin.py";
  Command command;
  command.argv = {"/usr/bin/python3",
                  script,
                  "--address",
                  address_,
                  "--cert",
                  dir_ / "origin.pem",
                  "--key",
                  dir_ / "origin.key",
                  "--record",
                  dir_ / "requests.jsonl",
                  "--root",
                  root(),
                  "--expect-key",
                  real_key_};
  command.env = plain_environment(dir_.path());
  origin_ = start(command, "origin ready");
}

void Stage::start_dns() {
  Command command;
  command.argv = {"dnsmasq",
                  "--keep-in-foreground",
                  "--conf-file=/dev/null",
                  "--no-resolv",
                  "--no-hosts",
                  "--pid-file=",
                  "--bind-interfaces",
                  "--log-facility=-",
                  "--log-queries",
                  fmt::format("--port={}", dns_port),
                  "--listen-address=" + address_};
  if (::getuid() == 0) command.argv.insert(command.argv.end(), {"--user=root", "--group=root"});
  for (const char* name : names) {
    command.argv.push_back(fmt::format("--address=/{}/{}", name, address_));
  }
  command.env = plain_environment(dir_.path());
  dns_ = start(command, "started");
}

Command Stage::nono(std::vector<std::string> arguments) const {
  Command command;
  command.argv = std::move(arguments);
  command.argv.insert(command.argv.begin(), binary_);
  command.env = plain_environment(home_);
  command.cwd = project_;
  command.user = user_;
  return command;
}

std::vector<std::string> Stage::network_flags() const {
  return {"--dns-server",    fmt::format("{}:{}", address_, dns_port),
          "--allow-private", "127.0.0.0/8",
          "--upstream-ca",   ca_file()};
}

Command Stage::nono_run(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all = {"run", "--allow-cwd", "--audit-log", audit_file()};
  const std::vector<std::string> network = network_flags();
  all.insert(all.end(), network.begin(), network.end());
  all.insert(all.end(), arguments.begin(), arguments.end());
  return nono(all);
}

std::string Stage::project_file(std::string_view name, std::string_view content) const {
  return dir_.write("home/project/" + std::string(name), content);
}

std::string Stage::project_data(std::string_view name) const {
  const std::string from = source_dir() + "/tests/e2e/data/" + std::string(name);
  if (!fs::exists(from)) throw std::runtime_error("no test data " + from);
  return project_file(name, read_file(from));
}

std::vector<nlohmann::json> Stage::requests() const {
  return json_lines(read_file(dir_ / "requests.jsonl"));
}

std::string Stage::questions() const {
  return dns_->err() + dns_->out();
}

bool Stage::asked_for(std::string_view name) const {
  return questions().find(fmt::format("] {} from ", name)) != std::string::npos;
}

std::vector<nlohmann::json> Stage::audit() const {
  return json_lines(audit_text());
}
std::string Stage::audit_text() const {
  return read_file(audit_file());
}

Proxy::Proxy(const Stage& stage, const std::vector<std::string>& arguments,
             const std::map<std::string, std::string>& env)
    : address_(stage.address()), token_(random_hex()) {
  std::vector<std::string> all = {"proxy", "--listen", address_ + ":0", "--audit-log",
                                  stage.audit_file()};
  const std::vector<std::string> network = stage.network_flags();
  all.insert(all.end(), network.begin(), network.end());
  all.insert(all.end(), arguments.begin(), arguments.end());
  Command command = stage.nono(all);
  command.env["NONO_PROXY_TOKEN"] = token_;
  for (const auto& [name, value] : env) command.env[name] = value;
  process_ = start(command, "listening on " + address_ + ":");
  const std::string out = process_->out() + process_->err();
  const std::string before = "listening on " + address_ + ":";
  port_ = static_cast<std::uint16_t>(std::stoi(out.substr(out.find(before) + before.size())));
}

std::string Proxy::authority() const {
  return fmt::format("{}:{}", address_, port_);
}
std::string Proxy::url() const {
  return fmt::format("http://nono:{}@{}", token_, authority());
}

std::string raw_exchange(const std::string& address, std::uint16_t port, std::string_view bytes,
                         std::chrono::milliseconds at_most) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in to = socket_address(address, port);
  if (::connect(socket.get(), generic(to), sizeof to) != 0) return "cannot connect";
  ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  std::string answer;
  const auto until = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd ready{socket.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) != 1) break;
    std::array<char, 4096> buffer;
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return answer;
}

std::string random_loopback() {
  std::array<unsigned char, 3> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != 3) throw std::runtime_error("getrandom");
  return fmt::format("127.{}.{}.{}", bytes[0] % 200 + 50, bytes[1], bytes[2] % 250 + 2);
}

std::string random_hex() {
  std::array<unsigned char, 32> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != 32) throw std::runtime_error("getrandom");
  std::string hex;
  for (const unsigned char byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group =
          group << 8U | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      const bool padding = at + i > bytes.size();
      out += padding ? '=' : digits[group >> (18 - 6 * i) & 63U];
    }
  }
  return out;
}

}  // namespace nono::testing
