#include "proxy/cli/diagnosis.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "proxy/cli/console.hpp"
#include "proxy/cli/footer.hpp"

namespace nono::cli {

namespace {

using Access = sandbox::DeniedPath::Access;

constexpr std::size_t listed_max = 20;

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

// As a shell takes it.
std::string word(const std::string& path) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%=";
  if (path.find_first_not_of(plain) == std::string::npos) return path;
  std::string quoted = "'";
  for (const char letter : path)
    quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return quoted + "'";
}

std::string_view in_words(Access access) {
  if (access == Access::read) return "read";
  return access == Access::write ? "write" : "make";
}

// An empty text where no flag helps.
std::string flag_for(const sandbox::DeniedPath& denied) {
  if (!denied.denied_by.empty()) return {};
  const std::string& path = denied.path;
  const std::string parent = std::filesystem::path(path).parent_path().string();
  switch (denied.access) {
    case Access::read:
      return (is_folder(path) ? "--read " : "--read-file ") + word(path);
    case Access::write:
      return "--allow-file " + word(path);
    case Access::make:
      return "--allow " + word(denied.beside_denied ? path : parent);
  }
  return {};
}

std::string paths_text(const std::vector<sandbox::DeniedPath>& paths) {
  if (paths.empty()) return {};
  std::string text = "nono: kept " + std::to_string(paths.size()) +
                     (paths.size() == 1 ? " file" : " files") + " from the command:\n";
  for (std::size_t at = 0; at < std::min(paths.size(), listed_max); ++at) {
    text += "  " + printable(paths[at].path) + "  " + printable(remedy(paths[at])) + "\n";
  }
  if (paths.size() > listed_max) {
    text += "  and " + std::to_string(paths.size() - listed_max) +
            " more; --diagnostics-json lists all\n";
  }
  return text;
}

}  // namespace

std::string remedy(const sandbox::DeniedPath& path) {
  if (!path.denied_by.empty()) return "always denied (" + path.denied_by + ")";
  if (path.access == Access::make && path.beside_denied) {
    return "not granted; make it before the run and grant it alone: " + flag_for(path);
  }
  const std::string verb = path.access == Access::make    ? "made or removed"
                           : path.access == Access::write ? "written"
                                                          : "read";
  return "not granted; to have it " + verb + ": " + flag_for(path);
}

std::string diagnostics_text(const RunFacts& facts) {
  std::string text = footer_text(facts.refusals) + paths_text(facts.paths);
  // A command that failed by itself is not explained by guesses.
  if (!text.empty() && facts.exit_code != 0 && !facts.files_were_watched) {
    text += "nono: to see which files were not granted as well, run again with --diagnose\n";
  }
  return text;
}

std::string diagnostics_json(const RunFacts& facts) {
  nlohmann::json denials = nlohmann::json::array();
  for (const RefusedHost& host : refused_hosts(facts.refusals)) {
    denials.push_back({{"kind", "host"},
                       {"host", host.host},
                       {"port", host.port},
                       {"reason", host.reason},
                       {"rule", host.rule},
                       {"fix", host.remedy}});
  }
  for (const sandbox::DeniedPath& path : facts.paths) {
    denials.push_back({{"kind", "path"},
                       {"path", path.path},
                       {"access", in_words(path.access)},
                       {"rule", path.denied_by},
                       {"fix", flag_for(path)}});
  }
  const nlohmann::json all{{"exit_code", facts.exit_code},
                           {"files_watched", facts.files_were_watched},
                           {"denials", denials}};
  // File names are bytes; what is no UTF-8 is replaced.
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace nono::cli
