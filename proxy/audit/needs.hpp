#pragma once
// What a job reached, gathered from its audit log: the stuff of its allowlist.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/error.hpp"

namespace nono::audit {

// The fields of one line, a flat JSON object; strings unescaped (\u00XX is a byte), other values as
// written.
class Fields {
 public:
  bool parse(std::string_view line);                 // false: it is no such object
  std::string_view get(std::string_view key) const;  // empty: there is none
  std::uint64_t number(std::string_view key) const;  // 0: there is none

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// What the log says about one host and port. Texts are as the log has them: whoever prints them has
// to check them.
struct HostUse {
  static constexpr std::size_t listed_max = 16;  // of each set

  std::uint64_t allowed = 0;   // decisions, by a rule of then
  std::uint64_t observed = 0;  // decisions that only observe mode allowed
  std::uint64_t refused = 0;   // decisions, and ends by policy after the address was known
  std::uint64_t failed = 0;    // allowed, but never connected
  std::uint64_t bytes_to_upstream = 0, bytes_to_client = 0;
  std::set<std::string> rules;        // that allowed it
  std::set<std::string> credentials;  // whose route it is
  std::set<std::string> addresses;    // dialled
  std::set<std::string> reasons;      // of refusals
  bool by_credential_only = true;     // no other rule allowed it

  bool reached() const { return allowed + observed > failed; }
};

struct Needs {
  static constexpr std::size_t hosts_max = 100'000;

  std::map<std::pair<std::string, std::uint16_t>, HostUse> hosts;  // port 0: only looked up
  std::uint64_t lines = 0;
  std::uint64_t unreadable = 0;  // lines that are no records
  bool complete = true;          // false: there were more than hosts_max
};

// Reads the files. They need not be whole; verify() says whether they are. Errors: a file that
// cannot be read.
Result<Needs> read_needs(const std::vector<std::string>& files);

}  // namespace nono::audit
