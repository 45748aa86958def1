#pragma once
// Runs one case of a script that mistreats a proxy (tests/e2e/data/rig.py).

#include <signal.h>

#include <cstdlib>

#include "tests/e2e/clients.hpp"

namespace nono::testing {

// A standalone proxy that allows example.com on every port, with short times and room for
// `connections_max` clients.
inline void mistreat(const std::string& script, const std::string& name,
                     int connections_max = 4000) {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string config =
      stage->project_file("nono.yaml",
                          "limits: {head_time_max: 2s, keep_alive_time_max: 2s, peek_time_max: 2s, "
                          "first_byte_time_max: 1s,\n"
                          "         idle_time_max: 1s, upstream_idle_time_max: 1s}\n");
  // The build with sanitizers is slow; the tests of a release say which binary that is.
  const std::string count = std::getenv("NONO_TEST_BINARY") != nullptr ? "20000" : "4000";
  Proxy proxy(*stage,
              {"--config", config, "--allow-domain", "example.com:*", "--max-connections",
               std::to_string(connections_max)},
              {{"ASAN_OPTIONS", "detect_leaks=0:quarantine_size_mb=8"}});
  const Finished ended =
      python(*stage, script,
             {name, "--proxy", proxy.authority(), "--token", proxy.token(), "--pid",
              std::to_string(proxy.process().pid()), "--address", stage->address(), "--audit",
              stage->audit_file(), "--count", count});
  INFO(ended.out << ended.err << proxy.process().err());
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 0);
  CHECK(ended.out == "held " + name + "\n");
  proxy.process().signal(SIGTERM);
  const Finished stopped = proxy.process().wait(20s);
  CHECK(stopped.code == 0);
  CHECK(stopped.err.find("Sanitizer") == std::string::npos);
}

}  // namespace nono::testing
