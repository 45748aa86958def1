// psql, which knows of no proxy, and a real PostgreSQL server, reached by name under both backends.

#include <fmt/format.h>
#include <pwd.h>
#include <csignal>
#include <filesystem>

#include "tests/e2e/confined.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
namespace fs = std::filesystem;

constexpr int database_port = 5432;

// The folder with initdb and postgres, which no Debian package puts into the path; empty where
// there is none.
std::string server_programs() {
  std::error_code none;
  for (const fs::directory_entry& version : fs::directory_iterator("/usr/lib/postgresql", none)) {
    if (fs::exists(version.path() / "bin/initdb")) return version.path() / "bin";
  }
  std::puts("skipped by name: postgresql");
  return {};
}

// The server refuses to be root, and wants a user that has a name.
std::optional<uid_t> server_user() {
  if (::geteuid() != 0) return std::nullopt;
  const passwd* nobody = ::getpwnam("nobody");
  REQUIRE(nobody != nullptr);
  return nobody->pw_uid;
}

// A cluster of this test's own, listening on the stage's address; over TLS with the stage's
// certificate. It lets everybody in, and says who came.
class Database {
 public:
  Database(const Stage& stage, const std::string& programs) : folder_(server_user()) {
    const std::string data = folder_ / "data";
    const Finished made = run(command({programs + "/initdb", "-D", data, "-U", "tester", "-A",
                                       "trust", "-E", "UTF8", "--no-sync"}));
    INFO(made.out << made.err);
    REQUIRE(made.code == 0);
    folder_.write("hba.conf", "host all all all trust\n");
    folder_.write("server.key", read_file(stage.dir() / "origin.key"), 0600);
    folder_.write("server.pem", read_file(stage.dir() / "origin.pem"));
    std::vector<std::string> line = {programs + "/postgres", "-D", data};
    for (const std::string& setting :
         {"listen_addresses=" + stage.address(), fmt::format("port={}", database_port),
          std::string("unix_socket_directories="), std::string("fsync=off"),
          std::string("log_connections=on"), std::string("log_statement=all"),
          std::string("ssl=on"), "hba_file=" + (folder_ / "hba.conf"),
          "ssl_key_file=" + (folder_ / "server.key"),
          "ssl_cert_file=" + (folder_ / "server.pem")}) {
      line.insert(line.end(), {"-c", setting});
    }
    server_ = std::make_unique<Process>(command(line));
    if (!server_->wait_for("ready to accept connections")) FAIL(server_->err());
  }

  // Ends it in order, so that its shared memory goes too.
  ~Database() {
    server_->signal(SIGINT);
    server_->wait(20s);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  std::string log() const { return server_->err(); }

 private:
  Command command(const std::vector<std::string>& line) const {
    Command command{line, plain_environment(folder_.path()), folder_.path(), server_user(), ""};
    command.env["LC_ALL"] = "C.UTF-8";
    return command;
  }

  TempDir folder_;
  std::unique_ptr<Process> server_;
};

// `where`: words of a connection string. Says how long it took when that was long.
std::string psql(const std::string& where, const std::string& query) {
  return fmt::format(
      "begin=$(date +%s); psql -X -A -t -c \"{}\" 'user=tester dbname=postgres {}' 2>&1; "
      "test $(($(date +%s) - begin)) -lt 8 || echo SLOW\n",
      query, where);
}

TEST_CASE("psql selects from a server that a rule names, and is refused another name or port") {
  for (const auto user : {std::optional<uid_t>{}, std::optional<uid_t>{ordinary_user}}) {
    const auto stage = Stage::make(user);
    if (!stage || !have("psql")) return;
    const std::string programs = server_programs();
    if (programs.empty()) return;
    const Database database(*stage, programs);
    const std::string trusted = "host=db.example sslmode=verify-full sslrootcert=ca.pem";
    const std::string script =
        psql("host=db.example sslmode=disable", "select 6 * 7, 'in the clear'") +
        psql(trusted, "select count(*), 'over TLS' from generate_series(1, 100000)") +
        psql(trusted, "select sum(length(repeat('x', 1000))) from generate_series(1, 2000)") +
        psql("host=evil.example", "select 'evil'") +
        psql("host=db.example port=5433", "select 'another port'") +
        psql("host=192.0.2.7", "select 'an address'");
    for (const std::string& backend : backends()) {
      const Finished ended =
          confined(*stage, backend, {"--allow-domain", "db.example:5432"}, {"sh", "-c", script});
      INFO(database.log());
      CHECK_THAT(ended.out, StartsWith("42|in the clear\n100000|over TLS\n2000000\n"));
      CHECK_THAT(ended.out, Contains("could not translate host name \"evil.example\""));
      CHECK_THAT(ended.out, Contains("port 5433 failed: ") || Contains("port 5433 refused"));
      CHECK_THAT(ended.out, Contains("\"192.0.2.7\", port 5432 failed: "));
      CHECK_THAT(ended.out, !Contains("SLOW"));
    }
    CHECK_THAT(database.log(), Contains("select 6 * 7"));
    CHECK_THAT(database.log(), Contains("SSL enabled"));
    CHECK_THAT(database.log(), !Contains("'evil'") && !Contains("another port"));
    CHECK_FALSE(stage->asked_for("evil.example"));
  }
}

}  // namespace
}  // namespace nono::testing
