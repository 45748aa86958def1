#pragma once
// Schemas as tables: one row per key, with what reads it or why it is not read. Whatever stands in
// a file and in no row is an error with a suggestion. Internal to config/.

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.hpp"
#include "config/suggest.hpp"

namespace nono::document {

// What a reader gets: where to complain, the value, its key's full name, and where to put it.
template <class Out>
struct Field {
  Problems& problems;
  const YAML::Node& node;
  std::string_view key;
  Out& out;
};

template <class Out>
struct Key {
  std::string_view path;            // "network.allow_domain"
  void (*read)(const Field<Out>&);  // null: the feature is not there, and the value is an error
  std::string_view canonical = {};  // where set: an old name; noted once
};

// Out has `std::vector<std::string> notes`.
template <class Out>
class SchemaReader {
 public:
  SchemaReader(Problems& problems, const std::vector<Key<Out>>& keys, Out& out)
      : problems_(problems), keys_(keys), out_(out) {}

  void read(const YAML::Node& map, const std::string& prefix = "") {
    std::set<std::string> seen;
    for (const auto& item : map) {
      if (problems_.full()) return;
      if (!item.first.IsScalar()) {
        problems_.at(item.first,
                     fmt::format("a key must be a string, found {}", kind_of(item.first)));
        continue;
      }
      const std::string& name = item.first.Scalar();
      if (!seen.insert(name).second) {
        problems_.at(item.first, fmt::format("duplicate key {}{}", prefix, name));
        continue;
      }
      read_key(item.first, item.second, prefix + name, prefix);
    }
  }

 private:
  void read_key(const YAML::Node& name, const YAML::Node& value, const std::string& path,
                const std::string& prefix) {
    std::string inner = path + ".";
    const bool section = std::any_of(keys_.begin(), keys_.end(), [&](const Key<Out>& key) {
      return key.path.starts_with(inner);
    });
    // `audit: required` and `audit: {log: ...}`: a row for the word, others for the map.
    const bool into = section && value.IsMap();
    for (const Key<Out>& key : keys_) {
      if (key.path != path || into) continue;
      if (!key.canonical.empty()) note(path, key.canonical);
      if (key.read != nullptr) {
        key.read(Field<Out>{problems_, value, key.path, out_});
      } else if (!asks_nothing(value)) {
        problems_.at(name, fmt::format("{} is not supported yet; remove it", path));
      }
      return;
    }
    if (section) {
      if (is_map(problems_, value, path)) read(value, inner);
      return;
    }
    problems_.at(
        name, fmt::format("unknown key {}{}", path, suggestion(name.Scalar(), siblings(prefix))));
  }

  void note(const std::string& path, std::string_view canonical) {
    out_.notes.push_back(
        fmt::format("{}: {} is an old name; write {}", problems_.file(), path, canonical));
  }

  // Current names that may stand beside each other under `prefix`.
  std::vector<std::string> siblings(std::string_view prefix) const {
    std::set<std::string> names;
    for (const Key<Out>& key : keys_) {
      if (!key.path.starts_with(prefix) || key.read == nullptr) continue;
      std::string_view rest = key.path.substr(prefix.size());
      names.emplace(rest.substr(0, rest.find('.')));
    }
    return {names.begin(), names.end()};
  }

  Problems& problems_;
  const std::vector<Key<Out>>& keys_;
  Out& out_;
};

}  // namespace nono::document
