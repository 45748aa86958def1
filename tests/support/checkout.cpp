#include "tests/support/checkout.hpp"

namespace nono::testing {

std::string source_dir() {
  return NONO_SOURCE_DIR;
}

std::string built_binary() {
  return NONO_BINARY;
}

}  // namespace nono::testing
