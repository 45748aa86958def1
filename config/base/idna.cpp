#include "config/base/idna.hpp"

#include <fmt/format.h>
#include <idn2.h>

#include <memory>

namespace nono {

Result<std::string> idna_to_ascii(std::string_view utf8) {
  const std::string terminated(utf8);  // the caller has refused NUL
  char* output = nullptr;
  const int status =
      ::idn2_to_ascii_8z(terminated.c_str(), &output, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const std::unique_ptr<char, void (*)(void*)> owner(output, &::idn2_free);
  if (status != IDN2_OK) {
    return fail(ErrorCode::bad_input,
                fmt::format("{:?} is no internationalised name: {}", utf8, ::idn2_strerror(status)),
                {}, Side::client);
  }
  return std::string(output);
}

}  // namespace nono
