#pragma once
// The project's own source files, read for the tests that hold them to the house rules.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nono::testing {

struct SourceFile {
  std::string path;  // from the root, "proxy/net/tcp_stream.cpp"
  std::string text;
  std::vector<std::string> lines;  // as written
  std::vector<std::string> code;   // the same lines without comments and the insides of literals
  bool is_header() const { return path.ends_with(".hpp"); }
  std::string folder() const;  // "proxy/net"
};

struct Include {
  std::size_t line = 0;  // from 1
  std::string path;
  bool quoted = false;  // "ours" rather than <theirs>
};

struct Function {
  std::size_t line = 0;   // where its body opens, from 1
  std::size_t lines = 0;  // of its body, braces included
};

// Every .hpp and .cpp below `folders` (from the root), sorted by path.
std::vector<SourceFile> source_files(const std::vector<std::string>& folders);
// Every tracked-looking text file of the project: sources, scripts, documents, build files.
std::vector<SourceFile> text_files();
// The product's source folders, without tests and benchmarks.
const std::vector<std::string>& product_folders();

std::vector<Include> includes_of(const SourceFile& file);
// Found by counting braces outside namespaces and types: good enough to measure length.
std::vector<Function> functions_of(const SourceFile& file);
// Comments and the insides of string and character literals blanked; lines keep their number.
std::string blank_comments_and_literals(std::string_view text);

}  // namespace nono::testing
