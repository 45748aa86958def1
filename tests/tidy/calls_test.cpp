// Calls and words that do not belong, each with the reason why.

#include <fmt/format.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <regex>

#include "tests/support/source_tree.hpp"

namespace {

using nono::testing::SourceFile;

struct Ban {
  std::string pattern;               // matched against code without comments and literals
  std::vector<std::string> allowed;  // folders or files
  std::string reason;
};

const std::vector<Ban>& bans() {
  static const std::vector<Ban> table = {
      {R"(\b(secure_)?getenv\s*\()",
       {"config", "keystore", "proxy/cli", "proxy/net/system_roots.cpp"},
       "the environment is read where settings are read, and nowhere else"},
      {R"(\b(system|popen)\s*\()", {}, "no shell"},
      {R"(\b(strcpy|strcat|sprintf|vsprintf|gets|tmpnam|mktemp)\s*\()", {}, "unbounded or racy"},
      {R"(\b(rand|srand|random_device|mt19937)\b)", {}, "randomness comes from getrandom"},
      {R"(\bstd::(cout|cerr|clog)\b)", {"proxy/cli"}, "only the command line prints"},
      {R"((^|[^\w.>:])(printf|puts|fprintf)\s*\()", {"proxy/cli"}, "only the command line prints"},
      {R"(\b(gethostbyname|getaddrinfo|async_resolve)\b)",
       {},
       "names are resolved by dns/ alone, after policy has judged them"},
      {R"(\b(sleep_for|sleep_until|usleep|nanosleep)\b)", {}, "waits have a cause, not a length"},
      {R"(\busing\s+namespace\s+std\b)", {}, "names say where they come from"},
      {R"(\.detach\s*\(\s*\))", {}, "every thread has an owner"},
      {R"(http::async_)", {}, "Beast is a parser here, not a stream"},
      {R"(\bssl_stream\b|\bssl::stream\b)",
       {},
       "TLS is proxy/net's own stream over the descriptor"},
      {R"(\bstd::(exit|abort|quick_exit|_Exit)\b|[^\w.>:]_?exit\s*\()",
       {"proxy/cli", "sandbox"},
       "errors are values; only the command line ends the process"},
  };
  return table;
}

bool excused(const SourceFile& file, const std::vector<std::string>& places) {
  return std::any_of(places.begin(), places.end(), [&](const std::string& place) {
    return file.path == place || file.path.starts_with(place + "/");
  });
}

// The words of a pattern: a file without any of them need not be searched, which is most of the
// time saved.
std::vector<std::string> words_of(const std::string& pattern) {
  static const std::regex boundary(R"(\\b)"), word("[A-Za-z_][A-Za-z0-9_]{3,}");
  const std::string text = std::regex_replace(pattern, boundary, " ");
  const std::sregex_iterator begin(text.begin(), text.end(), word);
  std::vector<std::string> words;
  for (auto match = begin; match != std::sregex_iterator(); ++match) words.push_back(match->str());
  return words;
}

bool holds_any(const std::string& text, const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

std::string offenders_of(const Ban& ban, const std::vector<SourceFile>& files) {
  const std::regex pattern(ban.pattern);
  const std::vector<std::string> words = words_of(ban.pattern);
  std::string offenders;
  for (const SourceFile& file : files) {
    if (excused(file, ban.allowed)) continue;
    for (std::size_t at = 0; at < file.code.size(); ++at) {
      if (holds_any(file.code[at], words) && std::regex_search(file.code[at], pattern)) {
        offenders += fmt::format("{}:{}: {} ({})\n", file.path, at + 1, file.lines[at], ban.reason);
      }
    }
  }
  return offenders;
}

TEST_CASE("no source file makes a banned call") {
  const std::vector<SourceFile> files =
      nono::testing::source_files(nono::testing::product_folders());
  REQUIRE(files.size() > 10);
  std::string offenders;
  for (const Ban& ban : bans()) offenders += offenders_of(ban, files);
  CHECK(offenders == "");
}

TEST_CASE("no test waits for a length of time") {
  const Ban ban = {
      R"(\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\()",
      // Kills at moments of its own choosing; the poll that every bounded wait rests on; tunnels in
      // which nothing moves for a while, which is what is tested.
      {"tests/sandbox/processes_test.cpp", "tests/sandbox/harness.hpp", "tests/net/relay_test.cpp"},
      "wait for the event"};
  CHECK(offenders_of(ban, nono::testing::source_files({"tests"})) == "");
}

TEST_CASE("no file names a package registry's host: the package managers are asked") {
  // In halves, so that this file does not name them either.
  const std::vector<std::string> hosts = {
      std::string("pypi") + ".org",        std::string("pythonhosted") + ".org",
      std::string("registry.npmjs") + ".", std::string("yarnpkg") + ".com",
      std::string("crates") + ".io",       std::string("rubygems") + ".org",
      std::string("proxy.golang") + ".",   std::string("sum.golang") + ".",
      std::string("repo.maven") + ".",     std::string("repo1.maven") + ".",
      std::string("packagist") + ".org"};
  std::string offenders;
  for (const SourceFile& file : nono::testing::text_files()) {
    for (const std::string& host : hosts) {
      if (file.text.find(host) != std::string::npos) offenders += file.path + ": " + host + "\n";
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("no file names a path of one machine") {
  const std::string work = std::string("/wo") + "rk/";
  std::string offenders;
  for (const SourceFile& file : nono::testing::text_files()) {
    if (file.text.find(work) != std::string::npos) offenders += file.path + "\n";
  }
  CHECK(offenders == "");
}

}  // namespace
