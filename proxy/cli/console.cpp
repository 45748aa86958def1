#include "proxy/cli/console.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace nono::cli {

namespace {

// Unbuffered: a line is whole even when several processes write to one terminal.
void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads; nothing can be done about that
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

int complain(const Error& error, int code) {
  std::string text = error.what;
  if (!error.fix.empty()) text += "; " + error.fix;
  return complain(text, code);
}

int complain(std::string_view message, int code) {
  // A file's errors come as one line each; other control characters are not for terminals.
  std::string text;
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    text += (text.empty() ? "nono: " : "      ") + printable(message.substr(0, end)) + "\n";
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  print_err(text);
  return code;
}

void warn(const CommonOptions& common, std::string_view text) {
  if (!common.silent) print_err("nono: warning: " + printable(text) + "\n");
}

void print_out(std::string_view text) {
  write_all(STDOUT_FILENO, text);
}
void print_err(std::string_view text) {
  write_all(STDERR_FILENO, text);
}

bool stderr_is_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}
bool stdin_is_terminal() {
  return ::isatty(STDIN_FILENO) == 1;
}

bool ask(std::string_view question) {
  print_err(std::string(question) + " [y/N] ");
  std::string answer;
  char c = 0;
  while (answer.size() < 64) {
    const ssize_t count = ::read(STDIN_FILENO, &c, 1);  // byte by byte: the rest is the command's
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || c == '\n') break;
    answer += c;
  }
  return answer == "y" || answer == "Y" || answer == "yes" || answer == "Yes";
}

}  // namespace nono::cli
