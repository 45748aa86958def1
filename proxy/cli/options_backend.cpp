#include "proxy/cli/options_backend.hpp"

#include <CLI/CLI.hpp>

#include "config/suggest.hpp"

namespace nono::cli {

namespace {

std::string weakness_list() {
  std::string text;
  for (const sandbox::Weakness weakness : sandbox::all_weaknesses()) {
    text += (text.empty() ? "" : ", ") + std::string(sandbox::to_string(weakness));
  }
  return text;
}

std::vector<std::string> weakness_names() {
  std::vector<std::string> names;
  for (const sandbox::Weakness weakness : sandbox::all_weaknesses()) {
    names.emplace_back(sandbox::to_string(weakness));
  }
  return names;
}

}  // namespace

void BackendFlags::add(CLI::App& app) {
  app.add_option("--backend", backend_,
                 "NAME: netns (namespaces) or notify (a supervisor connects for the command), and "
                 "no other; without it netns, or notify where namespaces cannot be had")
      ->group("Sandbox");
  app.add_option(
         "--weak", weak_,
         "NAME: accept that the notify backend misses this (repeatable): " + weakness_list())
      ->expected(1)
      ->take_all()
      ->group("Sandbox");
}

std::optional<UsageError> BackendFlags::finish(const EnvLookup& env, RunOptions& options) {
  std::string where = "--backend";
  if (backend_.empty()) {
    backend_ = env("NONO_BACKEND").value_or("");
    where = "NONO_BACKEND";
  }
  if (!backend_.empty()) {
    options.backend = sandbox::parse_backend(backend_);
    if (!options.backend) {
      return UsageError{where + " takes netns or notify, not '" + backend_ + "'"};
    }
  }
  for (const std::string& name : weak_) {
    const std::optional<sandbox::Weakness> weakness = sandbox::parse_weakness(name);
    if (!weakness) {
      return UsageError{"--weak knows no '" + name + "'" + suggestion(name, weakness_names()) +
                        "; it takes " + weakness_list()};
    }
    options.weak.push_back(*weakness);
  }
  return std::nullopt;
}

}  // namespace nono::cli
