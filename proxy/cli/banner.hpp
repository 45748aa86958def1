#pragma once
// What is about to hold, in at most five lines; all of it with -v and for --dry-run.

#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

// Borrowed for the call.
struct BannerFacts {
  const SessionConfig& config;
  const std::vector<LoadedCredential>& credentials;  // as far as they are loaded
  const std::vector<std::string>& withheld;          // names of variables kept back
  std::vector<std::string> sandbox = {};             // what is weaker than usual, as sentences
};

// At most five lines, each ending in a line break; long lists are cut and counted.
std::string banner_text(const BannerFacts& facts);

// Everything, several lines for each subject: files by group, every host, every credential.
std::string full_text(const BannerFacts& facts);

}  // namespace nono::cli
