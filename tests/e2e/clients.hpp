#pragma once
// Starting real clients against a stage, and looking at what its origin received.

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/checkout.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {

// curl through `proxy`, in the project; `input` is its stdin.
inline Finished curl(const Stage& stage, const std::string& proxy,
                     std::vector<std::string> arguments, const std::string& input = {}) {
  arguments.insert(arguments.begin(),
                   {"curl", "-sS", "--max-time", "60", "--cacert", stage.ca_file(), "-x", proxy});
  return run({arguments, plain_environment(stage.home()), stage.project(), {}, input}, 90s);
}

inline Finished shell(const Stage& stage, const std::string& script, const std::string& folder) {
  return run({{"sh", "-euc", script}, plain_environment(stage.home()), folder, {}, ""}, 100s);
}

// A script of tests/e2e/data, run by the system's Python.
inline Finished python(const Stage& stage, const std::string& script,
                       std::vector<std::string> arguments,
                       std::chrono::milliseconds at_most = 100s) {
  const std::string path = source_dir() + "/tests/e2e/data/" + script;
  arguments.insert(arguments.begin(), {"/usr/bin/python3", path});
  return run({arguments, plain_environment(stage.home()), stage.project(), {}, ""}, at_most);
}

// False, with the line that ctest counts, where a program is missing.
inline bool have(const std::string& program) {
  if (run({{program, "--version"}, plain_environment("/"), "/", {}, ""}).code == 0) return true;
  std::printf("skipped by name: %s\n", program.c_str());
  return false;
}

// What no upstream may ever see: fields that are for the proxy, and the token in any field.
inline void check_nothing_of_the_proxy_arrived(const Stage& stage, const Proxy& proxy) {
  CHECK_FALSE(stage.requests().empty());
  const std::string basic = base64("nono:" + proxy.token());
  for (const nlohmann::json& request : stage.requests()) {
    const nlohmann::json& headers = request["headers"];
    INFO(request.dump());
    CHECK_FALSE(headers.contains("proxy-authorization"));
    CHECK_FALSE(headers.contains("proxy-connection"));
    CHECK(headers.dump().find(proxy.token()) == std::string::npos);
    CHECK(headers.dump().find(basic) == std::string::npos);
    CHECK(request["path"].get<std::string>().starts_with('/'));
  }
}

}  // namespace nono::testing
