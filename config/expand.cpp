#include "config/expand.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>

namespace nono {
namespace {

bool name_start(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
bool name_char(char c) {
  return name_start(c) || (c >= '0' && c <= '9');
}

// Where an XDG directory is when its variable is not set (basedir specification).
std::string_view xdg_default(std::string_view name) {
  if (name == "XDG_CONFIG_HOME") return "/.config";
  if (name == "XDG_DATA_HOME") return "/.local/share";
  if (name == "XDG_STATE_HOME") return "/.local/state";
  if (name == "XDG_CACHE_HOME") return "/.cache";
  return "";
}

Result<std::string> variable(const std::string& name, const UserContext& user) {
  if (name == "HOME") return user.home;
  if (name == "WORKDIR") return user.cwd;
  if (name == "UID") return std::to_string(user.uid);
  if (name == "NONO_CONFIG") return user.config_dir;
  std::optional<std::string> value = user.env ? user.env(name) : std::nullopt;
  bool set = value && !value->empty();
  bool directory = !xdg_default(name).empty() || name == "XDG_RUNTIME_DIR" || name == "TMPDIR";
  if (set && directory && !value->starts_with('/')) {
    return fail(ErrorCode::bad_input, fmt::format("{} is not an absolute path: {}", name, *value));
  }
  if (set) return *value;
  if (name == "TMPDIR") return "/tmp";
  if (std::string_view inside = xdg_default(name); !inside.empty()) {
    return user.home + std::string(inside);
  }
  return fail(ErrorCode::bad_input, fmt::format("${} is not set", name));
}

}  // namespace

Result<std::string> expand_variables(std::string_view text, const UserContext& user) {
  if (text.starts_with('@')) {
    return fail(ErrorCode::bad_input,
                fmt::format("{} is not supported yet; write the paths", text));
  }
  std::string out;
  std::size_t i = 0;
  if (text == "~" || text.starts_with("~/")) {
    out = user.home;
    i = 1;
  }
  while (i < text.size()) {
    bool braced = text.substr(i).starts_with("${");
    std::size_t from = i + (braced ? 2 : 1);
    if (text[i] != '$' || from >= text.size() || !name_start(text[from])) {
      out += text[i++];
      continue;
    }
    std::size_t to = from;
    while (to < text.size() && name_char(text[to])) ++to;
    if (braced && (to >= text.size() || text[to] != '}')) {
      return fail(ErrorCode::bad_input, fmt::format("{}: '${{' without '}}'", text));
    }
    Result<std::string> value = variable(std::string(text.substr(from, to - from)), user);
    if (!value) return value;
    out += *value;
    i = to + (braced ? 1 : 0);
  }
  return out;
}

namespace {

bool is_normal(std::string_view path) {
  if (!path.starts_with('/')) return false;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty() || segment == "." || segment == "..") return false;
    path.remove_prefix(segment.size());
  }
  return true;
}

}  // namespace

std::string normal_path(std::string_view path, std::string_view base) {
  if (is_normal(path)) return std::string(path);
  std::string all = path.starts_with('/') ? std::string(path) : fmt::format("{}/{}", base, path);
  std::vector<std::string_view> segments;
  std::string_view rest = all;
  while (!rest.empty()) {
    std::size_t slash = std::min(rest.find('/'), rest.size());
    std::string_view segment = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (segment.empty() || segment == ".") continue;
    if (segment != "..") {
      segments.push_back(segment);
    } else if (!segments.empty()) {
      segments.pop_back();
    }
  }
  std::string out;
  for (std::string_view segment : segments) out.append("/").append(segment);
  return out.empty() ? "/" : out;
}

Result<std::string> expand_path(std::string_view text, const UserContext& user) {
  if (text.empty()) return fail(ErrorCode::bad_input, "an empty path");
  if (text.find('\0') != std::string_view::npos)
    return fail(ErrorCode::bad_input, "a path with a NUL");
  Result<std::string> expanded = expand_variables(text, user);
  if (!expanded) return expanded;
  // `..` after a symbolic link means the link's target's parent: only the kernel can tell, so what
  // exists is left to canonical_path, and only the rest is made normal by text.
  if (!expanded->starts_with('/')) *expanded = user.cwd + "/" + *expanded;
  return canonical_path(*expanded);
}

std::string canonical_path(const std::string& path) {
  // Longest existing front first; the rest stays as text. Where that has a `..`, what comes out may
  // exist after all, links included, so it is looked at once more.
  std::string front = path;
  std::string rest;
  for (;;) {
    std::unique_ptr<char, void (*)(void*)> real(::realpath(front.c_str(), nullptr), &std::free);
    if (real) {
      std::string normal = normal_path(std::string(real.get()) + rest, "/");
      bool climbs = (rest + "/").find("/../") != std::string::npos;
      return climbs ? canonical_path(normal) : normal;
    }
    std::size_t end = front.find_last_not_of('/');
    if (end == std::string::npos) return normal_path(path, "/");
    front.resize(end + 1);
    std::size_t slash = front.rfind('/');
    if (slash == std::string::npos) return normal_path(path, "/");
    rest = front.substr(slash) + rest;
    front.resize(slash == 0 ? 1 : slash);
  }
}

std::vector<std::string> links_on_the_way(const std::string& path) {
  constexpr std::size_t links_max = 40;  // as many as Linux follows
  std::vector<std::string> links;
  std::string at;  // canonical; what is left to walk stands in `rest`
  std::string rest = path;
  while (!rest.empty() && links.size() < links_max) {
    std::size_t slash = std::min(rest.find('/'), rest.size());
    std::string segment = rest.substr(0, slash);
    rest.erase(0, slash + 1);
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      at.resize(at.empty() ? 0 : at.rfind('/'));
      continue;
    }
    std::string next = at + "/" + segment;
    char target[PATH_MAX];
    ssize_t size = ::readlink(next.c_str(), target, sizeof target);
    if (size <= 0 || static_cast<std::size_t>(size) >= sizeof target) {
      at = std::move(next);
      continue;
    }
    links.push_back(std::move(next));
    if (target[0] == '/') at.clear();
    rest = std::string(target, static_cast<std::size_t>(size)) + "/" + rest;
  }
  return links;
}

bool lies_in(std::string_view path, std::string_view tree) {
  if (tree == "/") return path.starts_with('/');
  return path.starts_with(tree) && (path.size() == tree.size() || path[tree.size()] == '/');
}

std::string parent_path(std::string_view path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

std::string_view last_segment(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace nono
