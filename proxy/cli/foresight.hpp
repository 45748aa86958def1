#pragma once
// What a command line will most likely ask for, told before it is read: so that what takes long can
// be begun meanwhile.

#include <string>
#include <vector>

namespace nono::cli {

// Whether this is a run whose network will be filtered, in a sandbox such as sandbox::Ahead begins.
// By the names of flags alone: a wrong answer costs time and nothing else.
bool looks_like_proxied_run(const std::vector<std::string>& arguments);

}  // namespace nono::cli
