#include "config/document.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "config/base/encoding.hpp"
#include "config/base/fd.hpp"
#include "config/base/printable.hpp"
#include "config/json_syntax.hpp"
#include "config/one_document.hpp"
#include "config/units.hpp"

namespace nono::document {
namespace {

bool is_quoted(const YAML::Node& node) {
  return node.Tag() == "!";
}

bool is_boolean_word(const std::string& text) {
  return text == "true" || text == "false";
}

bool is_number_word(const std::string& text) {
  if (text.empty()) return false;
  std::size_t from = text[0] == '-' ? 1 : 0;
  return from < text.size() && text[from] >= '0' && text[from] <= '9' &&
         text.find_first_not_of("0123456789.eE+-", from) == std::string::npos;
}

constexpr int depth_max = 64;  // as JSON's
constexpr std::size_t nodes_max = 1'000'000;

// An alias is expanded wherever it stands, so a few lines can mean millions of nodes, and one that
// stands within what it names never ends: count as a reader would meet them, and stop early.
bool larger_than(const YAML::Node& node, std::size_t& budget, int depth = 0) {
  if (budget == 0 || depth > depth_max) return true;
  --budget;
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      if (larger_than(item, budget, depth + 1)) return true;
    }
  } else if (node.IsMap()) {
    for (const auto& item : node) {
      if (larger_than(item.second, budget, depth + 1)) return true;
    }
  }
  return false;
}

// A file that could carry something else than text is refused before anything parses it.
std::optional<Error> check_bytes(std::string_view text, const std::string& file) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\r' || c == '\t') continue;
    TextPosition p = position_at(text, i);
    return Error{Side::self, ErrorCode::bad_input,
                 fmt::format("{}:{}:{}: control character 0x{:02x}", file, p.line, p.column, c),
                 "write the file as UTF-8 text"};
  }
  // yaml-cpp would put U+FFFD in its place, and a rule would be about another path than it says.
  const std::size_t valid = utf8_prefix(text);
  if (valid < text.size()) {
    TextPosition p = position_at(text, valid);
    return Error{Side::self, ErrorCode::bad_input,
                 fmt::format("{}:{}:{}: byte 0x{:02x} is no UTF-8", file, p.line, p.column,
                             static_cast<unsigned char>(text[valid])),
                 "write the file as UTF-8 text"};
  }
  return std::nullopt;
}

}  // namespace

void Problems::at(const YAML::Node& node, const std::string& what) {
  at_place(place(node), what);
}

void Problems::at_place(const std::string& place, const std::string& what) {
  if (full()) return;
  lines_.push_back(place + ": " + printable(what));
}

std::string Problems::place(const YAML::Node& node) const {
  YAML::Mark mark = node.Mark();
  if (mark.is_null()) return file_;
  return fmt::format("{}:{}:{}", file_, mark.line + 1, mark.column + 1);
}

Error Problems::error() const {
  std::string text = fmt::format("{}", fmt::join(lines_, "\n"));
  if (full()) text += fmt::format("\n{}: and more of the kind", file_);
  return Error{Side::self, ErrorCode::bad_input, std::move(text), ""};
}

Result<std::string> read_text(const std::string& path, std::string_view what) {
  const std::string named = fmt::format("{} {}", what, printable(path));
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    int saved = errno;
    Error error = errno_error(saved, named);
    error.code = ErrorCode::bad_input;
    return fail(std::move(error));
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return fail(ErrorCode::bad_input, named + " is not a regular file");
  }
  std::string text;
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error(errno, named));
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > file_bytes_max) {
      return fail(ErrorCode::bad_input,
                  fmt::format("{} is larger than {} KiB", named, file_bytes_max / 1024));
    }
  }
}

bool is_json(std::string_view text, std::string_view file) {
  if (file.ends_with(".json") || file.ends_with(".jsonc")) return true;
  if (file.ends_with(".yaml") || file.ends_with(".yml")) return false;
  std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '/');
}

Result<YAML::Node> parse(std::string_view text, const std::string& file) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (std::optional<Error> error = check_bytes(text, file)) return fail(std::move(*error));
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return fail(ErrorCode::bad_input, file + ":1:1: the file is empty");
  }
  std::string yaml(text);
  if (is_json(text, file)) {
    Result<std::string> checked = json_to_yaml(text);
    if (!checked) return fail(ErrorCode::bad_input, file + ":" + checked.error().what);
    yaml = std::move(*checked);
  }
  try {
    if (std::optional<std::string> wrong = not_one_document(yaml, nodes_max)) {
      return fail(ErrorCode::bad_input, file + ":" + *wrong);
    }
    YAML::Node root = YAML::Load(yaml);
    if (!root.IsMap()) {
      return fail(ErrorCode::bad_input,
                  fmt::format("{}:1:1: expected a map of settings, found {}", file, kind_of(root)));
    }
    std::size_t budget = nodes_max;
    if (larger_than(root, budget)) {
      return fail(ErrorCode::bad_input, file + ": too large once its aliases are expanded");
    }
    return root;
  } catch (const YAML::Exception& e) {
    // yaml-cpp counts lines and columns from 0.
    return fail(ErrorCode::bad_input, fmt::format("{}:{}:{}: {}", file, e.mark.line + 1,
                                                  e.mark.column + 1, printable(e.msg)));
  }
}

std::string_view kind_of(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return "nothing (null)";
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  if (is_quoted(node)) return "a string";
  if (is_boolean_word(node.Scalar())) return "true or false";
  if (is_number_word(node.Scalar())) return "a number";
  return "a string";
}

std::optional<std::string> as_string(Problems& problems, const YAML::Node& node,
                                     std::string_view key) {
  // In YAML `version: 1.0` is meant as text; in JSON a bare number is not a string.
  std::string_view kind = kind_of(node);
  if (kind == "a string" || (kind == "a number" && !problems.json())) return node.Scalar();
  problems.at(node, fmt::format("{}: expected a string, found {}", key, kind));
  return std::nullopt;
}

std::optional<bool> as_bool(Problems& problems, const YAML::Node& node, std::string_view key) {
  if (kind_of(node) == "true or false") return node.Scalar() == "true";
  problems.at(node, fmt::format("{}: expected true or false, found {}", key, kind_of(node)));
  return std::nullopt;
}

std::optional<std::uint64_t> as_number(Problems& problems, const YAML::Node& node,
                                       std::string_view key, std::uint64_t min, std::uint64_t max) {
  if (kind_of(node) != "a number") {
    problems.at(node, fmt::format("{}: expected a number, found {}", key, kind_of(node)));
    return std::nullopt;
  }
  const std::string& text = node.Scalar();
  std::uint64_t value = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    problems.at(node,
                fmt::format("{}: {} is not a whole number from {} to {}", key, text, min, max));
    return std::nullopt;
  }
  return value;
}

std::optional<std::chrono::milliseconds> as_duration(Problems& problems, const YAML::Node& node,
                                                     std::string_view key) {
  if (node.IsScalar()) {
    if (std::optional<std::chrono::milliseconds> value = parse_duration(node.Scalar()))
      return value;
  }
  problems.at(node, fmt::format("{}: expected a duration such as 500ms, 30s, 15m, 24h or 7d", key));
  return std::nullopt;
}

bool is_map(Problems& problems, const YAML::Node& node, std::string_view key) {
  if (node.IsMap()) return true;
  problems.at(node, fmt::format("{}: expected a map, found {}", key, kind_of(node)));
  return false;
}

bool is_list(Problems& problems, const YAML::Node& node, std::string_view key) {
  if (node.IsSequence()) return true;
  problems.at(node, fmt::format("{}: expected a list, found {}", key, kind_of(node)));
  return false;
}

std::vector<std::string> as_strings(Problems& problems, const YAML::Node& node,
                                    std::string_view key) {
  std::vector<std::string> values;
  if (!is_list(problems, node, key)) return values;
  for (const YAML::Node& item : node) {
    if (std::optional<std::string> text = as_string(problems, item, key)) values.push_back(*text);
  }
  return values;
}

bool asks_nothing(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return true;
  if (node.IsMap() || node.IsSequence()) return node.size() == 0;
  return !is_quoted(node) && node.Scalar() == "false";
}

}  // namespace nono::document
