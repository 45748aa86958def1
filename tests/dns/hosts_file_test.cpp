#include "dns/hosts_file.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/dns/fixture.hpp"

using namespace nono;
using namespace nono::test;
using dns::HostsFile;

namespace {

HostName name(const std::string& text) {
  return HostName::parse(text).value();
}

std::string listed(const dns::HostsTable& table, const std::string& host) {
  auto found = table.find(host);
  return found == table.end() ? "absent" : text_of(found->second);
}

class ScratchFile {
 public:
  ScratchFile() { ::close(::mkstemp(path_)); }
  ~ScratchFile() { std::remove(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const char* path() const { return path_; }
  // As editors do it: the new file takes the old one's place.
  void write(const std::string& text) {
    std::string other = std::string(path_) + ".new";
    std::ofstream(other) << text;
    std::rename(other.c_str(), path_);
  }

 private:
  char path_[32] = "/tmp/nono-hosts-XXXXXX";
};

const HostsFile::TimePoint start{};

}  // namespace

TEST_CASE("Hosts lines give every name on them the address, in any case and spacing") {
  dns::HostsTable table = dns::parse_hosts(
      "# a comment\n"
      "\t10.0.0.1   Intranet.Example  intranet # the rest\n"
      "fd00::1 intranet.example\n"
      "\n"
      "10.0.0.2 intranet.example\r\n"
      "127.0.0.1 localhost");
  CHECK(listed(table, "intranet.example") == "10.0.0.1, fd00::1, 10.0.0.2");
  CHECK(listed(table, "intranet") == "10.0.0.1");
  CHECK(listed(table, "localhost") == "127.0.0.1");
  CHECK(listed(table, "comment") == "absent");
  CHECK(listed(table, "rest") == "absent");
}

TEST_CASE("Broken hosts lines are skipped and the good ones kept") {
  dns::HostsTable table = dns::parse_hosts(
      "not-an-address a.example\n"
      "10.0.0.999 b.example\n"
      "10.0.0.1\n"
      "fe80::1%lo0 c.example\n"
      "10.0.0.3 bad..name good.example\n" +
      std::string("10.0.0.4 nul\0name d.example\n", 28) + "10.0.0.5 last.example");
  CHECK(listed(table, "a.example") == "absent");
  CHECK(listed(table, "b.example") == "absent");
  CHECK(listed(table, "c.example") == "absent");
  CHECK(listed(table, "good.example") == "10.0.0.3");
  CHECK(listed(table, "last.example") == "10.0.0.5");
}

TEST_CASE("A changed hosts file counts from the next second on") {
  ScratchFile file;
  file.write("10.0.0.1 a.example\n");
  HostsFile hosts(file.path());
  REQUIRE(hosts.find(name("a.example"), start) != nullptr);
  CHECK(text_of(*hosts.find(name("a.example"), start)) == "10.0.0.1");

  file.write("10.0.0.22 a.example\n");
  CHECK(text_of(*hosts.find(name("a.example"), start + 999ms)) == "10.0.0.1");
  CHECK(text_of(*hosts.find(name("a.example"), start + 1s)) == "10.0.0.22");

  std::remove(file.path());
  CHECK(hosts.find(name("a.example"), start + 2s) == nullptr);
}

TEST_CASE("A missing hosts file, or one that is no file, is an empty one") {
  CHECK(HostsFile("/nonexistent/hosts").find(name("a.example"), start) == nullptr);
  CHECK(HostsFile("/tmp").find(name("a.example"), start) == nullptr);
  CHECK(HostsFile("/dev/zero").find(name("a.example"), start) == nullptr);
}
