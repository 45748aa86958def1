// runtime_grants: which runtime a program belongs to, by where it lies.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "config/base/fd.hpp"
#include "config/canonical_paths.hpp"
#include "config/command.hpp"
#include "config/expand.hpp"

namespace nono {
namespace {

// One way of installing runtimes: where its root may be, and which tree below it belongs to a
// program.
struct KnownRoot {
  std::string_view name;
  std::vector<std::string_view> places;  // "$VARIABLE" or a path; the first that fits wins
  std::vector<std::string_view> trees;   // below the root, `*` for one segment: what is granted
  bool whole = false;                    // otherwise the root itself, or nothing
};

const std::vector<KnownRoot>& known_roots() {
  static const std::vector<KnownRoot> roots = {
      // pyenv's shims are shell scripts that read its own programs and settings: the whole root.
      {"pyenv", {"$PYENV_ROOT", "~/.pyenv"}, {"versions/*"}, true},
      {"rbenv", {"$RBENV_ROOT", "~/.rbenv"}, {"versions/*"}, true},
      {"nodenv", {"$NODENV_ROOT", "~/.nodenv"}, {"versions/*"}, true},
      {"uv", {"$XDG_DATA_HOME/uv", "~/.local/share/uv"}, {"python/*", "tools/*"}, false},
      {"uv", {"$UV_PYTHON_INSTALL_DIR", "$UV_TOOL_DIR"}, {"*"}, false},
      {"conda",
       {"$MAMBA_ROOT_PREFIX", "~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge",
        "~/micromamba", "~/.conda", "~/.local/share/mamba", "/opt/conda", "/opt/miniconda3",
        "/opt/anaconda3", "/opt/miniforge3"},
       {"envs/*"},
       true},
      {"pipx",
       {"$PIPX_HOME/venvs", "~/.local/share/pipx/venvs", "~/.local/pipx/venvs"},
       {"*"},
       false},
      {"venv",
       {"$WORKON_HOME", "~/.virtualenvs", "$XDG_DATA_HOME/virtualenvs",
        "~/.cache/pypoetry/virtualenvs"},
       {"*"},
       false},
      {"venv", {"$VIRTUAL_ENV"}, {}, true},
      {"conda", {"$CONDA_PREFIX"}, {}, true},
      {"nvm", {"$NVM_DIR", "~/.nvm"}, {"versions/node/*"}, false},
      {"fnm", {"$FNM_DIR", "$XDG_DATA_HOME/fnm", "~/.fnm"}, {"node-versions/*"}, false},
      {"volta", {"$VOLTA_HOME", "~/.volta"}, {}, true},
      {"asdf", {"$ASDF_DATA_DIR", "~/.asdf"}, {"installs/*/*"}, true},
      {"mise", {"$MISE_DATA_DIR", "$XDG_DATA_HOME/mise"}, {"installs/*/*"}, true},
      {"rustup", {"$RUSTUP_HOME", "~/.rustup"}, {"toolchains/*"}, true},
      // Only its programs: the rest of ~/.cargo holds the registry's token.
      {"cargo", {"$CARGO_HOME", "~/.cargo"}, {"bin"}, false},
      {"sdkman", {"$SDKMAN_DIR", "~/.sdkman"}, {"candidates/*/*"}, false},
      {"go", {"$GOROOT", "/usr/local/go"}, {}, true},
      {"go", {"~/sdk", "~/go/pkg/mod/golang.org"}, {"*"}, false},
      {"homebrew", {"/home/linuxbrew/.linuxbrew", "~/.linuxbrew", "$HOMEBREW_PREFIX"}, {}, true},
      {"nix", {"/nix/store"}, {}, true},
      {"opt", {"/opt"}, {"*"}, false},
  };
  return roots;
}

// The first of `text`'s segments that match `pattern`, if all of the pattern does and more follows.
std::optional<std::string> match_tree(std::string_view text, std::string_view pattern) {
  std::size_t end = 0;
  while (!pattern.empty()) {
    std::size_t slash = std::min(pattern.find('/'), pattern.size());
    std::string_view wanted = pattern.substr(0, slash);
    pattern.remove_prefix(std::min(slash + 1, pattern.size()));
    std::size_t next = text.find('/', end);
    if (next == std::string_view::npos) return std::nullopt;
    if (wanted != "*" && wanted != text.substr(end, next - end)) return std::nullopt;
    end = next + 1;
  }
  return std::string(text.substr(0, end - 1));
}

class Finder {
 public:
  Finder(const UserContext& user, const std::vector<PathGrant>& granted)
      : user_(user), granted_(granted) {
    struct stat info {};
    home_owner_ = ::stat(user.home.c_str(), &info) == 0 ? info.st_uid : user.uid;
  }

  std::vector<PathGrant> find(const std::string& path) {
    std::string next = path;
    for (int i = 0; i < interpreters_max && !next.empty(); ++i) next = add_program(next);
    return std::move(grants_);
  }

 private:
  static constexpr int interpreters_max = 4;  // as many as Linux follows
  static constexpr int links_max = 40;

  // Grants what one program needs; gives the interpreter of its #! line, if it has one.
  std::string add_program(const std::string& path) {
    std::vector<std::string> chain = link_chain(path);
    for (const std::string& place : chain) add_place(place);
    const std::string& real = chain.back();
    add(real, true, "command");
    if (last_segment(real) == "rustup") add_root("rustup");
    if (last_segment(real).starts_with("python3")) add_user_site();
    return interpreter(real);
  }

  // The path and every link on its way, each with its directory canonical.
  std::vector<std::string> link_chain(const std::string& path) {
    std::vector<std::string> chain;
    std::string at = path;
    for (int i = 0; i < links_max; ++i) {
      at = normal_path(last_segment(at), canonical_.of(parent_path(at)));
      chain.push_back(at);
      char target[PATH_MAX];
      ssize_t n = ::readlink(at.c_str(), target, sizeof target);
      if (n <= 0 || static_cast<std::size_t>(n) >= sizeof target) break;
      std::string_view link(target, static_cast<std::size_t>(n));
      at = link.starts_with('/') ? std::string(link) : fmt::format("{}/{}", parent_path(at), link);
    }
    return chain;
  }

  std::optional<std::string> root_at(std::string_view place) {
    Result<std::string> path = expand_variables(place, user_);
    if (!path || !path->starts_with('/')) return std::nullopt;
    std::string root = canonical_.of(*path);
    // A root this wide is a mistake in a variable, not a runtime.
    if (root == "/" || lies_in(user_.home, root)) return std::nullopt;
    return root;
  }

  bool lies_in_granted(const std::string& place) const {
    return std::any_of(granted_.begin(), granted_.end(), [&](const PathGrant& grant) {
      const bool read = grant.access != Access::write;
      return grant.system && read && !grant.file && lies_in(place, grant.path);
    });
  }

  void add_place(const std::string& place) {
    const bool granted = lies_in_granted(place);
    for (const KnownRoot& known : known_roots()) {
      for (std::string_view text : known.places) {
        bool active = text == "$VIRTUAL_ENV" || text == "$CONDA_PREFIX";
        // Most programs lie in what is granted: no need to look at dozens of places. An active
        // environment may be around such a directory, and needs more (/usr/local/pyvenv.cfg).
        if (granted && !active) continue;
        std::optional<std::string> root = root_at(text);
        if (!root || !lies_in(place, *root) || place == *root) continue;
        std::string_view below = std::string_view(place).substr(root->size() + 1);
        if (active && !below.starts_with("bin/")) continue;
        for (std::string_view pattern : known.trees) {
          std::optional<std::string> tree = match_tree(below, pattern);
          if (!tree) continue;
          add(*root + "/" + *tree, false,
              fmt::format("runtime {} {}", known.name, last_segment(*tree)));
          return;
        }
        if (!known.whole) continue;
        add(*root, false, fmt::format("runtime {}", known.name));
        return;
      }
    }
  }

  void add_root(std::string_view name) {
    for (const KnownRoot& known : known_roots()) {
      if (known.name != name) continue;
      for (std::string_view text : known.places) {
        std::optional<std::string> root = root_at(text);
        struct stat info {};
        if (!root || ::stat(root->c_str(), &info) != 0) continue;
        add(*root, false, fmt::format("runtime {}", name));
        return;
      }
    }
  }

  void add_user_site() {
    for (const std::string& path : canonical_.with_ending(user_.home + "/.local/lib/python3*")) {
      add(canonical_.of(path), false, "runtime python user site");
    }
  }

  // Trees must belong to root, to the user or to the owner of the home directory, and be closed to
  // everybody else's writing.
  bool trusted(const struct stat& info) const {
    bool owned = info.st_uid == 0 || info.st_uid == user_.uid || info.st_uid == home_owner_;
    return owned && (info.st_mode & S_IWOTH) == 0;
  }

  void add(const std::string& path, bool file, const std::string& origin) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || S_ISDIR(info.st_mode) == file) return;
    if (!file && !trusted(info)) return;
    for (const PathGrant& known : grants_) {
      if (known.path == path || (!known.file && lies_in(path, known.path))) return;
    }
    grants_.push_back({path, Access::read, file, true, origin});
  }

  std::string interpreter(const std::string& path) const {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    char buffer[256];
    ssize_t n = fd ? ::read(fd.get(), buffer, sizeof buffer) : 0;
    std::string_view line(buffer, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (!line.starts_with("#!")) return "";
    line = line.substr(2, std::min(line.find('\n'), line.size()) - 2);
    std::vector<std::string> words;
    while (!line.empty()) {
      std::size_t from = std::min(line.find_first_not_of(" \t\r"), line.size());
      line.remove_prefix(from);
      std::size_t to = std::min(line.find_first_of(" \t\r"), line.size());
      if (to != 0) words.emplace_back(line.substr(0, to));
      line.remove_prefix(to);
    }
    if (words.empty()) return "";
    if (last_segment(words[0]) != "env") return words[0].starts_with('/') ? words[0] : "";
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "-S" || words[i].find('=') != std::string::npos) continue;
      // Other options may take the next word: a script must not have a file granted that env would
      // not run.
      if (words[i].starts_with('-')) return "";
      Result<ResolvedCommand> found = find_command({words[i]}, user_);
      return found ? found->path : "";
    }
    return "";
  }

  const UserContext& user_;
  const std::vector<PathGrant>& granted_;
  unsigned home_owner_;
  CanonicalPaths canonical_;
  std::vector<PathGrant> grants_;
};

}  // namespace

std::vector<PathGrant> runtime_grants(const ResolvedCommand& command, const UserContext& user,
                                      const std::vector<PathGrant>& granted) {
  return Finder(user, granted).find(command.path);
}

}  // namespace nono
