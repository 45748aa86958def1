#pragma once

#include <string>
#include <string_view>

namespace nono {

// Control characters as \xNN, so that no name, path or value can write to the terminal, nor a line
// of its own into a message.
std::string printable(std::string_view text);

}  // namespace nono
