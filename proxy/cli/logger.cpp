#include "proxy/cli/logger.hpp"

#include <string>

#include "proxy/cli/console.hpp"

namespace nono::cli {

void Logger::operator()(LogLevel level, std::string_view text) const {
  if (!says(level)) return;
  std::string line = "nono: ";
  if (level == LogLevel::error) line += "error: ";
  if (level == LogLevel::warn) line += "warning: ";
  if (level == LogLevel::debug) line += "debug: ";
  line += printable(text);
  line += '\n';
  print_err(line);
}

}  // namespace nono::cli
