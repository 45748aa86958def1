#pragma once
// Configuration files as trees with positions: reading, typed access, and gathering every problem
// of a file into one error. Internal to config/: nothing else sees yaml-cpp.

#include <yaml-cpp/yaml.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"

namespace nono::document {

inline constexpr std::size_t file_bytes_max = 16 * 1024 * 1024;  // 100,000 hosts are 4 MiB

// What is wrong with one file. Values are read as far as they can be; complaints pile up.
class Problems {
 public:
  Problems(std::string file, bool json) : file_(std::move(file)), json_(json) {}
  void at(const YAML::Node& node, const std::string& what);
  void at_place(const std::string& place, const std::string& what);  // as place() gave it
  std::string place(const YAML::Node& node) const;                   // "FILE:LINE:COLUMN"
  Origin origin(const YAML::Node& node) const { return Origin{place(node)}; }
  bool any() const { return !lines_.empty(); }
  bool full() const { return lines_.size() > lines_max; }  // nobody reads on: no more is taken
  Error error() const;                                      // all of them, a line each
  bool json() const { return json_; }
  const std::string& file() const { return file_; }

 private:
  static constexpr std::size_t lines_max = 100;
  std::string file_;
  bool json_;
  std::vector<std::string> lines_;
};

// Reads a file of at most file_bytes_max bytes. `what` names its kind in errors ("profile").
Result<std::string> read_text(const std::string& path, std::string_view what);

// True where `file` or, for other names, the first character says JSON.
bool is_json(std::string_view text, std::string_view file);

// One document that is a map at its top and, with its aliases expanded, not huge.
Result<YAML::Node> parse(std::string_view text, const std::string& file);

// Typed access; on a wrong type they complain, naming `key`, and give nothing.
std::optional<std::string> as_string(Problems& problems, const YAML::Node& node,
                                     std::string_view key);
std::optional<bool> as_bool(Problems& problems, const YAML::Node& node, std::string_view key);
std::optional<std::uint64_t> as_number(Problems& problems, const YAML::Node& node,
                                       std::string_view key, std::uint64_t min, std::uint64_t max);
// "30s", "15m", "500ms", "24h", "7d".
std::optional<std::chrono::milliseconds> as_duration(Problems& problems, const YAML::Node& node,
                                                     std::string_view key);
bool is_map(Problems& problems, const YAML::Node& node, std::string_view key);
bool is_list(Problems& problems, const YAML::Node& node, std::string_view key);
std::vector<std::string> as_strings(Problems& problems, const YAML::Node& node,
                                    std::string_view key);

// False, null, empty: a key with such a value asks for nothing.
bool asks_nothing(const YAML::Node& node);

// "a string", "a list", ...: for "expected X, found Y".
std::string_view kind_of(const YAML::Node& node);

}  // namespace nono::document
