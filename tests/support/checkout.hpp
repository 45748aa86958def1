#pragma once
// Where the checkout and the built binary are. Only checkout.cpp is compiled with these paths in it,
// so that a compiler cache serves every clone.

#include <string>

namespace nono::testing {

std::string source_dir();
std::string built_binary();  // the `nono` of the same build

}  // namespace nono::testing
