// The admin socket: its file, who may speak, and what can be said.

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "proxy/admin/admin_client.hpp"
#include "proxy/admin/admin_socket.hpp"
#include "proxy/admin/sessions_api.hpp"
#include "tests/admin/fixture.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace {

using namespace nono::admin;
using nlohmann::json;
using nono::Awaitable;
using nono::ErrorCode;
using nono::Result;
using nono::testing::TempDir;

// Sessions that are only remembered.
class FakeAdmin final : public SessionAdmin {
 public:
  Awaitable<Result<CreatedSession>> create(SessionRequest request) override {
    const json entry = json::parse(request.entry);
    if (entry.contains("network") && !entry["network"].is_object()) {
      co_return nono::fail(ErrorCode::bad_input, "network: expected a map", "write one");
    }
    ListedSession made;
    made.name = entry.value("name", "made-up");
    made.origin = "admin";
    for (const auto& [name, value] : request.environment) made.credentials.push_back(name);
    {
      const std::lock_guard lock(mutex_);
      sessions_.push_back(made);
      last_ = std::move(request);
    }
    CreatedSession out;
    out.name = made.name;
    out.token = nono::Secret("the-token");
    out.listen = {"127.0.0.1:4711"};
    out.expires = std::chrono::system_clock::time_point(std::chrono::seconds(86'400));
    out.variables = {{"HTTPS_PROXY", "http://nono:the-token@127.0.0.1:1"}};
    co_return out;
  }
  std::vector<ListedSession> list() const override {
    const std::lock_guard lock(mutex_);
    return sessions_;
  }
  Result<void> revoke(const std::string& name) override {
    if (name == "main") return nono::fail(ErrorCode::bad_input, "the main session stays");
    const std::lock_guard lock(mutex_);
    std::erase_if(sessions_, [&](const ListedSession& session) { return session.name == name; });
    return {};
  }
  SessionRequest take_last() {
    const std::lock_guard lock(mutex_);
    return std::move(last_);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<ListedSession> sessions_;
  SessionRequest last_;
};

struct Scene {
  explicit Scene(const std::string& at) : path(at) {
    auto opened = AdminSocket::open(path);
    REQUIRE(opened);
    socket.emplace(std::move(*opened));
    ServiceOptions options;
    options.same_user_only = true;
    thread.serve(socket->take(), sessions_api(admin), options);
    thread.start();
  }
  Reply ask(std::string_view method, std::string_view target, std::string_view body = {}) {
    auto reply = AdminClient(path).ask(method, target, body);
    REQUIRE(reply);
    return std::move(*reply);
  }
  std::string path;
  FakeAdmin admin;
  std::optional<AdminSocket> socket;
  AdminThread thread;
};

mode_t mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// A bound and listening socket whose file stays when it is closed.
nono::UniqueFd listener_at(const std::string& path) {
  nono::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd.get(), 1) == 0);
  return fd;
}

TEST_CASE("a session is made, seen and ended") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  const Reply made = scene.ask("POST", "/sessions", R"({"name":"ci-1","ttl_seconds":60})");
  CHECK(made.status == 201);
  const json session = json::parse(made.body);
  CHECK(session["name"] == "ci-1");
  CHECK(session["token"] == "the-token");
  CHECK(session["listen"][0] == "127.0.0.1:4711");
  CHECK(session["expires"] == "1970-01-02T00:00:00Z");
  CHECK(session["variables"]["HTTPS_PROXY"] == "http://nono:the-token@127.0.0.1:1");

  const Reply listed = scene.ask("GET", "/sessions");
  CHECK(listed.status == 200);
  CHECK(json::parse(listed.body)["sessions"][0]["name"] == "ci-1");
  CHECK(listed.body.find("the-token") == std::string::npos);
  CHECK(scene.ask("GET", "/sessions/ci-1").body.find("the-token") == std::string::npos);

  const Reply ended = scene.ask("DELETE", "/sessions/ci-1");
  CHECK(ended.status == 204);
  CHECK(ended.body.empty());
  CHECK(scene.ask("DELETE", "/sessions/ci-1").status == 404);
  CHECK(scene.ask("GET", "/sessions/ci-1").status == 404);
}

TEST_CASE("a request is taken apart: the entry, the environment, the profiles, the time") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  scene.ask(
      "POST", "/sessions",
      R"({"name":"a","extends":["base"],"ttl_seconds":28800,"network":{"allow_domain":["x.example"]},
                "credentials":[{"name":"openai","source":"env://TEAM_KEY"}],
                "environment":{"TEAM_KEY":"real-key-1"}})");
  SessionRequest request = scene.admin.take_last();
  const json entry = json::parse(request.entry);
  CHECK(entry["ttl"] == "28800s");
  CHECK(entry["network"]["allow_domain"][0] == "x.example");
  CHECK(entry["credentials"][0]["source"] == "env://TEAM_KEY");
  CHECK_FALSE(entry.contains("environment"));
  CHECK_FALSE(entry.contains("extends"));
  CHECK_FALSE(entry.contains("ttl_seconds"));
  CHECK(request.entry.find("real-key-1") == std::string::npos);
  CHECK(request.extends == std::vector<std::string>{"base"});
  CHECK(request.environment.at("TEAM_KEY").expose() == "real-key-1");
}

TEST_CASE("a body is wiped once it is taken apart, well formed or not") {
  for (std::string body :
       {R"({"environment":{"K":"real-key"}})", R"({"environment":{"K":"real-key"},)"}) {
    [[maybe_unused]] const auto parsed = parse_session_request(body);
    CHECK(body.find("real-key") == std::string::npos);
  }
}

TEST_CASE("what cannot be understood is refused, and no value is repeated") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  const std::string deep = std::string(30'000, '[') + std::string(30'000, ']');
  for (const std::string& body : {std::string("{"),
                                  std::string("[]"),
                                  std::string("null"),
                                  "{\"network\":" + deep + "}",
                                  std::string("\"key-1\""),
                                  std::string("{\"a\":1}x"),
                                  std::string(R"({"name":"a","name":"b"})"),
                                  std::string(R"({"network":{"x":1,"x":2}})"),
                                  std::string(R"({"environment":["key-1"]})"),
                                  std::string(R"({"environment":{"K":1}})"),
                                  std::string(R"({"environment":{"1K":"key-1"}})"),
                                  std::string(R"({"environment":{"K=":"key-1"}})"),
                                  std::string("{\"environment\":{\"K\":\"key-1\\u0000\"}}"),
                                  std::string(R"({"extends":[1]})"),
                                  std::string(R"({"ttl_seconds":0})"),
                                  std::string(R"({"ttl_seconds":-1})"),
                                  std::string(R"({"ttl_seconds":1.5})"),
                                  std::string(R"({"ttl_seconds":"8h"})"),
                                  std::string(R"({"ttl_seconds":99999999999})"),
                                  std::string(R"({"ttl_seconds":18446744073709551615})"),
                                  std::string(R"({"ttl_seconds":60,"ttl":"1m"})"),
                                  std::string(R"({"token":"env://X"})"),
                                  std::string(R"({"env_file":{"path":"/etc/x"}})"),
                                  std::string("{\"a\":\"\xff\"}"),
                                  deep}) {
    INFO(body.substr(0, 60));
    const Reply reply = scene.ask("POST", "/sessions", body);
    CHECK(reply.status == 400);
    CHECK(json::parse(reply.body)["status"] == 400);
    CHECK(reply.body.find("key-1") == std::string::npos);
  }
  CHECK(scene.admin.list().empty());
}

TEST_CASE("what the proxy refuses is told with its reason and remedy") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  const Reply reply = scene.ask("POST", "/sessions", R"({"network":1})");
  CHECK(reply.status == 422);
  CHECK(reply.type == "application/problem+json");
  CHECK(json::parse(reply.body)["detail"] == "network: expected a map");
  CHECK(json::parse(reply.body)["fix"] == "write one");
  auto must = AdminClient(scene.path).must("POST", "/sessions", R"({"network":1})");
  REQUIRE_FALSE(must);
  CHECK(must.error().code == ErrorCode::bad_input);
  CHECK(must.error().what == "network: expected a map");
  CHECK(must.error().fix == "write one");
}

TEST_CASE("a name is given once, and the main session cannot be ended") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  CHECK(scene.ask("POST", "/sessions", R"({"name":"main"})").status == 201);
  CHECK(scene.ask("POST", "/sessions", R"({"name":"main"})").status == 409);
  CHECK(scene.ask("DELETE", "/sessions/main").status == 409);
  CHECK(scene.admin.list().size() == 1);
}

TEST_CASE("other paths and methods are refused") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  CHECK(scene.ask("GET", "/").status == 404);
  CHECK(scene.ask("GET", "/sessions/").status == 404);
  CHECK(scene.ask("GET", "/metrics").status == 404);
  CHECK(scene.ask("DELETE", "/sessions").status == 405);
  CHECK(scene.ask("POST", "/sessions/a", "{}").status == 405);
  CHECK(scene.ask("PUT", "/sessions/a", "{}").status == 405);
  CHECK(scene.ask("DELETE", "/sessions/../sessions/a").status == 404);
}

TEST_CASE("the socket's file is its user's alone and goes with the proxy") {
  const TempDir dir;
  const std::string path = dir / "run/nono/admin.sock";
  {
    const mode_t before = ::umask(0);
    auto socket = AdminSocket::open(path);
    ::umask(before);
    REQUIRE(socket);
    CHECK(mode_of(path) == 0600);
    CHECK(mode_of(dir / "run/nono") == 0700);
  }
  CHECK_FALSE(exists(path));
}

TEST_CASE("a socket that a dead proxy left behind is replaced") {
  const TempDir dir;
  const std::string path = dir / "admin.sock";
  listener_at(path).reset();
  REQUIRE(exists(path));
  Scene scene(path);
  CHECK(scene.ask("GET", "/sessions").status == 200);
}

TEST_CASE("a socket that is answered is left alone, also when its queue is full") {
  const TempDir dir;
  const std::string path = dir / "admin.sock";
  const nono::UniqueFd listener = listener_at(path);
  std::vector<nono::test::RawClient> waiting;
  for (int round = 0; round < 2; ++round) {
    auto second = AdminSocket::open(path);
    REQUIRE_FALSE(second);
    CHECK(second.error().what.find("another proxy is using") != std::string::npos);
    CHECK(exists(path));
    waiting.emplace_back(path);
    waiting.emplace_back(path);
  }
}

TEST_CASE("what is no socket is never replaced") {
  const TempDir dir;
  const std::string file = dir.write("file", "precious");
  const std::string link = dir / "link";
  REQUIRE(::symlink(file.c_str(), link.c_str()) == 0);
  for (const std::string& path : {file, link, dir.make_folder("folder")}) {
    INFO(path);
    auto opened = AdminSocket::open(path);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().what.find("is no socket") != std::string::npos);
  }
  CHECK(nono::testing::read_file(file) == "precious");
  CHECK_FALSE(AdminSocket::open(dir / std::string(200, 'x')));
  CHECK_FALSE(AdminSocket::open(""));
  CHECK_FALSE(AdminSocket::open(file + "/admin.sock"));
}

TEST_CASE("two proxies that start at once do not take each other's socket") {
  const TempDir dir;
  const nono::UniqueFd folder(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(::flock(folder.get(), LOCK_EX) == 0);
  auto opened = AdminSocket::open(dir / "admin.sock");
  REQUIRE_FALSE(opened);
  CHECK(opened.error().fix == "try again");
}

TEST_CASE("a socket that another proxy has put in our place is not taken away") {
  const TempDir dir;
  const std::string path = dir / "admin.sock";
  nono::UniqueFd other;
  {
    auto socket = AdminSocket::open(path);
    REQUIRE(socket);
    REQUIRE(::unlink(path.c_str()) == 0);
    other = listener_at(path);
  }
  CHECK(exists(path));
}

TEST_CASE("another user is refused even where the file lets them in") {
  if (::geteuid() != 0) {
    std::puts("skipped by name: changing to another user needs root");
    return;
  }
  const TempDir dir({}, "/tmp");
  Scene scene(dir / "admin.sock");
  nono::testing::Command probe;
  probe.env = nono::testing::plain_environment("/tmp");
  probe.argv = {"python3", "-c",
                "import socket,sys\n"
                "s=socket.socket(socket.AF_UNIX)\n"
                "try: s.connect(sys.argv[1])\n"
                "except PermissionError: print('kept out'); sys.exit()\n"
                "s.sendall(b'GET /sessions HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
                "print(s.makefile('rb').readline().decode())\n",
                scene.path};
  probe.user = 54321;
  CHECK(nono::testing::run(probe).out == "kept out\n");
  REQUIRE(::chmod(scene.path.c_str(), 0666) == 0);
  CHECK(nono::testing::run(probe).out.starts_with("HTTP/1.1 403 "));
  probe.user.reset();
  CHECK(nono::testing::run(probe).out.starts_with("HTTP/1.1 200 "));
}

TEST_CASE("the client says what is wrong with the socket it was given") {
  const TempDir dir;
  auto nobody = AdminClient(dir / "none.sock").ask("GET", "/sessions");
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().what.find("no proxy listens") != std::string::npos);
  CHECK(nobody.error().fix.find("--admin-socket") != std::string::npos);

  const std::string path = dir / "mute.sock";
  const nono::UniqueFd mute = listener_at(path);
  auto silent = AdminClient(path, std::chrono::milliseconds(200)).ask("GET", "/sessions");
  REQUIRE_FALSE(silent);
  CHECK(silent.error().code == ErrorCode::timeout);
}

TEST_CASE("the client takes no answer that is cut short or no HTTP") {
  const TempDir dir;
  int number = 0;
  for (const char* answer : {"", "garbage", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
                             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ntoo long",
                             "HTTP/1.1 200 OK\r\n\r\nuntil close"}) {
    INFO(answer);
    const std::string path = dir / ("s" + std::to_string(++number));
    const nono::UniqueFd listener = listener_at(path);
    std::thread server([&] {
      const nono::UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char request[4096];
      [[maybe_unused]] const ssize_t got = ::recv(peer.get(), request, sizeof request, 0);
      ::send(peer.get(), answer, std::strlen(answer), MSG_NOSIGNAL);
    });
    auto reply = AdminClient(path).ask("GET", "/sessions");
    server.join();
    REQUIRE_FALSE(reply);
    CHECK(reply.error().code == ErrorCode::bad_response);
  }
}

TEST_CASE("ten thousand sessions are listed") {
  const TempDir dir;
  Scene scene(dir / "admin.sock");
  for (int count = 0; count < 10'000; ++count) {
    nono::net::io_context unused;
    SessionRequest request;
    request.entry = R"({"name":"s)" + std::to_string(count) + "\"}";
    Awaitable<Result<CreatedSession>> made = scene.admin.create(std::move(request));
    nono::net::co_spawn(unused, std::move(made), [](auto&&...) {});
    unused.run();
  }
  const Reply listed = scene.ask("GET", "/sessions");
  CHECK(json::parse(listed.body)["sessions"].size() == 10'000);
}

}  // namespace
