#include "tests/support/checkout.hpp"
#include "tests/support/source_tree.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace nono::testing {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

SourceFile read_source(const fs::path& root, const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  SourceFile file;
  file.path = fs::relative(path, root).generic_string();
  file.text = text.str();
  file.lines = split_lines(file.text);
  file.code = split_lines(blank_comments_and_literals(file.text));
  return file;
}

bool skipped_folder(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == "build" || name == ".git" || name == ".cache" || name == "__pycache__";
}

template <typename Wanted>
std::vector<SourceFile> collect(const fs::path& from, Wanted wanted) {
  const fs::path root = source_dir();
  std::vector<SourceFile> files;
  if (!fs::exists(from)) return files;
  for (auto entry = fs::recursive_directory_iterator(from); entry != fs::end(entry); ++entry) {
    if (entry->is_directory() && skipped_folder(entry->path())) entry.disable_recursion_pending();
    if (entry->is_regular_file() && wanted(entry->path())) {
      files.push_back(read_source(root, entry->path()));
    }
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

// Where a raw string literal that starts at `from` (its R) ends; npos if none starts there.
std::size_t raw_string_end(std::string_view text, std::size_t from) {
  if (text.substr(from, 2) != "R\"") return std::string_view::npos;
  const std::size_t open = text.find('(', from);
  if (open == std::string_view::npos || open - from > 18) return std::string_view::npos;
  const std::string close = ")" + std::string(text.substr(from + 2, open - from - 2)) + "\"";
  const std::size_t end = text.find(close, open);
  return end == std::string_view::npos ? end : end + close.size();
}

std::size_t literal_end(std::string_view text, std::size_t from) {
  const char quote = text[from];
  for (std::size_t at = from + 1; at < text.size() && text[at] != '\n'; ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == quote) {
      return at + 1;
    }
  }
  return from + 1;
}

bool digit_separator(std::string_view text, std::size_t at) {
  return text[at] == '\'' && at > 0 && std::isalnum(static_cast<unsigned char>(text[at - 1])) != 0;
}

// The end of the comment or literal that starts at `at`, or `at` where none does.
std::size_t quiet_end(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) == "//") return std::min(text.find('\n', at), text.size());
  if (text.substr(at, 2) == "/*") {
    const std::size_t end = text.find("*/", at + 2);
    return end == std::string_view::npos ? text.size() : end + 2;
  }
  if (const std::size_t end = raw_string_end(text, at); end != std::string_view::npos) return end;
  if ((text[at] == '"' || text[at] == '\'') && !digit_separator(text, at)) {
    return literal_end(text, at);
  }
  return at;
}

// What a `{` at container level opens, told from the text since the last `;`, `{` or `}`.
enum class Opens : std::uint8_t { container, function, other };

Opens what_opens(const std::string& text) {
  static const std::regex alignment(R"(\balignas\([^()]*\))");  // has parentheses, is no function
  const std::string before = std::regex_replace(text, alignment, "");
  static const std::regex container(R"((^|\s)(namespace|class|struct|union|enum|extern)\b)");
  if (std::regex_search(before, container) && before.find('(') == std::string::npos) {
    return Opens::container;
  }
  const std::size_t last = before.find_last_not_of(" \t\n");
  if (before.find('(') != std::string::npos && last != std::string::npos && before[last] != '=') {
    return Opens::function;
  }
  return Opens::other;
}

}  // namespace

std::string SourceFile::folder() const {
  return path.find('/') == std::string::npos ? "" : path.substr(0, path.rfind('/'));
}

const std::vector<std::string>& product_folders() {
  static const std::vector<std::string> folders = {"config", "dns", "keystore", "proxy", "sandbox"};
  return folders;
}

std::vector<SourceFile> source_files(const std::vector<std::string>& folders) {
  std::vector<SourceFile> files;
  for (const std::string& folder : folders) {
    for (SourceFile& file : collect(fs::path(source_dir()) / folder, [](const fs::path& path) {
           return path.extension() == ".hpp" || path.extension() == ".cpp";
         })) {
      files.push_back(std::move(file));
    }
  }
  return files;
}

std::vector<SourceFile> text_files() {
  static const std::vector<std::string> extensions = {".hpp",  ".cpp", ".c",     ".py",
                                                      ".sh",   ".md",  ".txt",   ".json",
                                                      ".yaml", ".yml", ".cmake", ".query"};
  return collect(source_dir(), [](const fs::path& path) {
    return std::find(extensions.begin(), extensions.end(), path.extension().string()) !=
           extensions.end();
  });
}

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex include(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  for (std::size_t at = 0; at < file.lines.size(); ++at) {
    std::smatch match;
    if (std::regex_search(file.lines[at], match, include)) {
      found.push_back({at + 1, match[2].str(), match[1].str() == "\""});
    }
  }
  return found;
}

std::vector<Function> functions_of(const SourceFile& file) {
  std::vector<Function> found;
  std::vector<Opens> open;
  std::string before;
  std::size_t body_line = 0;
  int inside = 0;  // braces open inside a function or initializer
  for (std::size_t at = 0; at < file.code.size(); ++at) {
    if (file.code[at].starts_with("#")) continue;
    for (const char c : file.code[at]) {
      if (c == '{' && inside > 0) {
        ++inside;
      } else if (c == '{') {
        open.push_back(what_opens(before));
        if (open.back() != Opens::container) inside = 1;
        body_line = at + 1;
        before.clear();
      } else if (c == '}' && inside > 1) {
        --inside;
      } else if (c == '}' && !open.empty()) {
        if (open.back() == Opens::function) found.push_back({body_line, at + 1 - body_line + 1});
        open.pop_back();
        inside = 0;
        before.clear();
      } else if (inside == 0) {
        before = c == ';' ? std::string() : before + c;
      }
    }
    before += '\n';
  }
  return found;
}

std::string blank_comments_and_literals(std::string_view text) {
  std::string out(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = quiet_end(text, at);
    if (end == at) {
      ++at;
      continue;
    }
    const bool literal = text[at] != '/';
    for (std::size_t i = at; i < end; ++i) {
      const bool quote = literal && (i == at || i + 1 == end);
      if (text[i] != '\n' && !quote) out[i] = ' ';
    }
    at = end;
  }
  return out;
}

}  // namespace nono::testing
