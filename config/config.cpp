#include "config/config.hpp"

namespace nono {

std::string_view to_string(Access access) {
  switch (access) {
    case Access::none:
      return "none";
    case Access::read:
      return "read";
    case Access::write:
      return "write";
    case Access::read_write:
      return "readwrite";
  }
  return "none";
}

}  // namespace nono
