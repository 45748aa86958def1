#pragma once
// A real program in the sandbox, under either backend, told of a proxy or not.

#include <string>
#include <vector>

#include "tests/e2e/clients.hpp"

namespace nono::testing {

inline const std::vector<std::string>& backends() {
  static const std::vector<std::string> both = {"netns", "notify"};
  return both;
}

// The command as a shell runs it in which nobody has set a proxy.
inline std::vector<std::string> without_proxy_variables(const std::vector<std::string>& command) {
  std::vector<std::string> all = {"env"};
  for (const char* name : {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY",
                           "all_proxy", "NODE_USE_ENV_PROXY"}) {
    all.insert(all.end(), {"-u", name});
  }
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

// `nono run --backend BACKEND FLAGS -- COMMAND`, with the stage's network.
inline Finished confined(const Stage& stage, const std::string& backend,
                         const std::vector<std::string>& flags,
                         const std::vector<std::string>& command) {
  std::vector<std::string> all = {"--backend", backend};
  all.insert(all.end(), flags.begin(), flags.end());
  all.emplace_back("--");
  all.insert(all.end(), command.begin(), command.end());
  Finished ended = run(stage.nono_run(all), 100s);
  UNSCOPED_INFO(backend << "\n" << ended.out << ended.err << stage.audit_text());
  return ended;
}

// A server on the stage's address that speaks first, echoes lines and prints "heard LINE".
inline std::unique_ptr<Process> start_greeter(const Stage& stage, int port) {
  Command command;
  command.argv = {"/usr/bin/python3", source_dir() + "/tests/e2e/data/speaks_first.py",
                  stage.address(), std::to_string(port)};
  command.env = plain_environment(stage.home());
  auto server = std::make_unique<Process>(command);
  REQUIRE(server->wait_for("greeter ready"));
  return server;
}

}  // namespace nono::testing
