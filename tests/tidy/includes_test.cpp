// Which folder may include which: the arrows that keep policy free of sockets and the sandbox free
// of the proxy. CMake hides third-party headers; ours share one include root, so this test watches
// them.

#include <fmt/format.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "tests/support/checkout.hpp"
#include "tests/support/source_tree.hpp"

namespace {

using nono::testing::Include;
using nono::testing::SourceFile;

// A folder, and the folders or single headers that it may include from. Its own folder is implied.
struct Arrow {
  std::string from;
  std::vector<std::string> to;
};

const std::vector<Arrow>& arrows() {
  // The longest matching `from` decides.
  static const std::vector<Arrow> table = {
      {"config/base", {}},
      {"config", {"config/base"}},
      {"dns", {"config/base", "proxy/net/asio.hpp"}},
      {"keystore", {"config/base"}},
      {"sandbox", {"config/base"}},
      {"proxy/net", {"config/base"}},
      {"proxy/http", {"config/base", "proxy/net"}},
      {"proxy/policy", {"config/base", "config"}},
      {"proxy/metrics", {"config/base", "proxy/audit/record.hpp"}},
      {"proxy/admin", {"config/base", "config", "proxy/net", "proxy/http", "proxy/metrics"}},
      {"proxy",
       {"config/base", "config", "dns", "keystore", "proxy/net", "proxy/http", "proxy/policy",
        "proxy/audit", "proxy/intercept", "proxy/metrics", "proxy/admin"}},
      {"proxy/cli",
       {"config/base", "config", "dns", "keystore", "sandbox", "proxy", "proxy/net", "proxy/http",
        "proxy/policy", "proxy/audit", "proxy/intercept", "proxy/metrics", "proxy/admin"}},
  };
  return table;
}

const Arrow* arrow_from(const std::string& folder) {
  const Arrow* best = nullptr;
  for (const Arrow& arrow : arrows()) {
    const bool inside = folder == arrow.from || folder.starts_with(arrow.from + "/");
    if (inside && (best == nullptr || arrow.from.size() > best->from.size())) best = &arrow;
  }
  return best;
}

// A target folder allows what lies in it or in a folder below that has no row of its own.
bool allowed(const Arrow& arrow, const std::string& included) {
  if (std::find(arrow.to.begin(), arrow.to.end(), included) != arrow.to.end()) return true;
  const Arrow* owner = arrow_from(included.substr(0, included.rfind('/')));
  if (owner == nullptr) return false;
  return owner->from == arrow.from ||
         std::find(arrow.to.begin(), arrow.to.end(), owner->from) != arrow.to.end();
}

// A third-party header's prefix and the folders in which it may appear.
const std::map<std::string, std::vector<std::string>>& third_party() {
  static const std::map<std::string, std::vector<std::string>> table = {
      {"boost/asio/ssl", {}},
      {"boost/beast", {}},
      {"boost/asio", {"proxy", "dns"}},
      {"CLI/", {"proxy/cli"}},
      {"yaml-cpp/", {"config"}},
      {"ares", {"dns"}},
      {"libsecret/", {"keystore"}},
      {"glib", {"keystore"}},
      {"seccomp.h", {"sandbox"}},
      {"linux/landlock.h", {"sandbox"}},
      {"nghttp2/", {"proxy/http"}},
      {"libpsl.h", {"proxy/policy"}},
      {"idn2.h", {"config/base"}},
      {"openssl/ssl.h", {"proxy/net"}},
      {"openssl/", {"proxy", "config/base"}},
      {"zlib.h", {"proxy"}},
  };
  return table;
}

bool below(const std::string& path, const std::string& place) {
  return path == place || path.starts_with(place + "/");
}

// The rule with the longest prefix of this header says no.
bool third_party_refused(const SourceFile& file, const std::string& header) {
  const std::vector<std::string>* places = nullptr;
  std::size_t longest = 0;
  for (const auto& [prefix, folders] : third_party()) {
    if (header.starts_with(prefix) && prefix.size() >= longest) {
      longest = prefix.size();
      places = &folders;
    }
  }
  return places != nullptr && std::none_of(places->begin(), places->end(), [&](const auto& place) {
           return below(file.path, place);
         });
}

TEST_CASE("folders include only what the arrows of the design allow") {
  std::string offenders;
  for (const SourceFile& file : nono::testing::source_files(nono::testing::product_folders())) {
    const Arrow* arrow = arrow_from(file.folder());
    REQUIRE(arrow != nullptr);
    for (const Include& include : nono::testing::includes_of(file)) {
      if (include.quoted && !allowed(*arrow, include.path)) {
        offenders += fmt::format("{}:{} includes {}\n", file.path, include.line, include.path);
      }
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("each third-party library appears only in the folder that wraps it") {
  std::string offenders;
  for (const SourceFile& file : nono::testing::source_files(nono::testing::product_folders())) {
    for (const Include& include : nono::testing::includes_of(file)) {
      if (third_party_refused(file, include.path)) {
        offenders += fmt::format("{}:{} includes {}\n", file.path, include.line, include.path);
      }
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("our own headers are included from the root and in quotes") {
  std::string offenders;
  for (const SourceFile& file : nono::testing::source_files(nono::testing::product_folders())) {
    for (const Include& include : nono::testing::includes_of(file)) {
      const bool ours =
          std::filesystem::exists(std::filesystem::path(nono::testing::source_dir()) / include.path);
      if (include.quoted != ours) {
        offenders += fmt::format("{}:{} includes {}\n", file.path, include.line, include.path);
      }
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("a source file includes its own header first") {
  std::string offenders;
  for (const SourceFile& file : nono::testing::source_files(nono::testing::product_folders())) {
    if (file.is_header()) continue;
    const std::string own = file.path.substr(0, file.path.size() - 4) + ".hpp";
    if (!std::filesystem::exists(std::filesystem::path(nono::testing::source_dir()) / own)) continue;
    const std::vector<Include> includes = nono::testing::includes_of(file);
    if (includes.empty() || includes.front().path != own) offenders += file.path + "\n";
  }
  CHECK(offenders == "");
}

}  // namespace
