#pragma once
// The ways to confine a command on Linux, and what a user may accept to miss in them.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace nono::sandbox {

enum class Backend : std::uint8_t {
  netns,   // namespaces: the command has a network of its own
  notify,  // no namespaces: a supervisor connects on the command's behalf
};
std::string_view to_string(Backend backend);
std::optional<Backend> parse_backend(std::string_view name);

// A thing that the notify backend wants and a machine or a program may lack. Each is missed only
// where the user has accepted it by name.
enum class Weakness : std::uint8_t {
  no_landlock_net,   // before Linux 6.7: no kernel rule behind the supervisor
  unscoped_signals,  // before Linux 6.12: the command may signal this user's other processes
  host_terminals,    // the command may make terminals, and open this user's other ones
};
std::string_view to_string(Weakness weakness);
// What it means, as the end of a sentence: "the command may ...".
std::string_view describe(Weakness weakness);
std::optional<Weakness> parse_weakness(std::string_view name);
const std::vector<Weakness>& all_weaknesses();

}  // namespace nono::sandbox
