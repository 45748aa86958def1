// The shape of files and folders: short, guarded, explained.

#include <fmt/format.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "tests/support/checkout.hpp"
#include "tests/support/source_tree.hpp"

namespace {

namespace fs = std::filesystem;
using nono::testing::Function;
using nono::testing::SourceFile;

constexpr std::size_t file_lines_max = 500;
constexpr std::size_t function_lines_max = 70;
constexpr std::size_t line_columns_max = 120;

std::vector<SourceFile> all_code() {
  std::vector<std::string> folders = nono::testing::product_folders();
  folders.push_back("tests");
  folders.push_back("bench");
  return nono::testing::source_files(folders);
}

TEST_CASE("no source file is longer than 500 lines") {
  std::string offenders;
  for (const SourceFile& file : all_code()) {
    if (file.lines.size() > file_lines_max) {
      offenders += fmt::format("{}: {} lines\n", file.path, file.lines.size());
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("no function is longer than 70 lines") {
  std::string offenders;
  for (const SourceFile& file : all_code()) {
    for (const Function& function : nono::testing::functions_of(file)) {
      if (function.lines > function_lines_max) {
        offenders += fmt::format("{}:{}: {} lines\n", file.path, function.line, function.lines);
      }
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("the function finder sees functions and nothing else") {
  SourceFile file;
  file.text =
      "namespace a {\nstruct S { int f() { return 1; } };\nint table[] = {\n1, 2};\n"
      "// } a brace in a comment\nint g(int x) {\n  if (x) {\n    return '}';\n  }\n  return "
      "0;\n}\n}\n";
  const std::string blank = nono::testing::blank_comments_and_literals(file.text);
  std::istringstream stream(blank);
  for (std::string line; std::getline(stream, line);) file.code.push_back(line);
  const std::vector<Function> found = nono::testing::functions_of(file);
  REQUIRE(found.size() == 2);
  CHECK(found[0].lines == 1);
  CHECK(found[1].line == 6);
  CHECK(found[1].lines == 6);
}

TEST_CASE("lines have no tabs, no trailing blanks and at most 120 columns") {
  std::string offenders;
  for (const SourceFile& file : all_code()) {
    for (std::size_t at = 0; at < file.lines.size(); ++at) {
      const std::string& line = file.lines[at];
      const bool blank_end = !line.empty() && (line.back() == ' ' || line.back() == '\r');
      if (line.find('\t') != std::string::npos || blank_end || line.size() > line_columns_max) {
        offenders += fmt::format("{}:{}\n", file.path, at + 1);
      }
    }
    if (!file.text.ends_with("\n")) offenders += file.path + ": no newline at the end\n";
  }
  CHECK(offenders == "");
}

TEST_CASE("every header starts with pragma once") {
  std::string offenders;
  for (const SourceFile& file : all_code()) {
    if (file.is_header() && (file.lines.empty() || file.lines.front() != "#pragma once")) {
      offenders += file.path + "\n";
    }
  }
  CHECK(offenders == "");
}

TEST_CASE("every folder with sources has a README that names its files' purpose") {
  std::set<std::string> folders = {"bench", "tests"};
  for (const SourceFile& file : nono::testing::source_files(nono::testing::product_folders())) {
    folders.insert(file.folder());
  }
  std::string offenders;
  for (const std::string& folder : folders) {
    const fs::path readme = fs::path(nono::testing::source_dir()) / folder / "README.md";
    if (!fs::exists(readme) || fs::file_size(readme) < 80) offenders += folder + "\n";
  }
  CHECK(offenders == "");
}

TEST_CASE("there is no folder for leftovers") {
  for (const SourceFile& file : all_code()) {
    for (const char* name : {"common/", "util/", "utils/", "misc/", "helpers/"}) {
      INFO(file.path);
      CHECK(file.path.find(name) == std::string::npos);
    }
  }
}

TEST_CASE("links between the project's documents lead somewhere") {
  static const std::regex link(R"(\]\(([^)#:]+)(#[^)]*)?\))");
  std::string offenders;
  for (const SourceFile& file : nono::testing::text_files()) {
    if (!file.path.ends_with(".md")) continue;
    const fs::path folder = (fs::path(nono::testing::source_dir()) / file.path).parent_path();
    for (std::sregex_iterator match(file.text.begin(), file.text.end(), link), end; match != end;
         ++match) {
      if (!fs::exists(folder / (*match)[1].str())) {
        offenders += fmt::format("{} links to {}\n", file.path, (*match)[1].str());
      }
    }
  }
  CHECK(offenders == "");
}

}  // namespace
