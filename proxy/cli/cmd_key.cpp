// nono key set|list|remove: keys in the system keyring, under nono's own service.

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "config/base/on_exit.hpp"
#include "keystore/sources.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/credentials.hpp"
#include "proxy/cli/signals.hpp"

namespace nono::cli {

namespace {

constexpr std::size_t key_bytes_max = 64 * 1024;

// Reads standard input up to its end, or up to the first line break of a terminal.
Result<Secret> read_input(bool one_line) {
  std::string bytes(key_bytes_max + 1, '\0');
  const OnExit wiped([&] { wipe(bytes.data(), bytes.size()); });
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t count = ::read(STDIN_FILENO, bytes.data() + size, bytes.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error(errno, "reading the key"));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
    if (one_line && bytes[size - 1] == '\n') break;
  }
  if (size > key_bytes_max) return fail(ErrorCode::bad_input, "a key is at most 64 KiB long");
  std::string_view key = std::string_view(bytes).substr(0, size);
  if (key.ends_with('\n')) key.remove_suffix(1);
  if (key.ends_with('\r')) key.remove_suffix(1);
  if (key.empty()) return fail(ErrorCode::bad_input, "no key was given");
  if (key.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
    return fail(ErrorCode::bad_input, "a key has no line break or NUL in it");
  }
  return Secret(key);
}

// Waits for a line of the terminal. A signal ends the wait, so that its echo is never left off.
Result<void> wait_for_line(const Signals& signals) {
  pollfd watched[] = {{STDIN_FILENO, POLLIN, 0}, {signals.fd(), POLLIN, 0}};
  while (::poll(watched, 2, -1) < 0) {
    if (errno != EINTR) return fail(errno_error(errno, "waiting for the terminal"));
  }
  if (watched[1].revents != 0) return fail(ErrorCode::closed, "cancelled; nothing was stored");
  return {};
}

// Asks on the terminal with its echo off.
Result<Secret> read_silently(const std::string& name) {
  termios before = {};
  if (::tcgetattr(STDIN_FILENO, &before) != 0) return fail(errno_error(errno, "the terminal"));
  const Result<Signals> signals = Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP});
  if (!signals) return fail(signals.error());
  termios quiet = before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  print_err("Key for " + name + ": ");
  if (::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0) {
    return fail(errno_error(errno, "the terminal's echo"));
  }
  const OnExit restored([&] {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    print_err("\n");
  });
  if (const Result<void> waited = wait_for_line(*signals); !waited) return fail(waited.error());
  return read_input(true);
}

int set_key(const KeyOptions& options, keystore::Keystore& keyring) {
  const bool asks = stdin_is_terminal() && !options.from_stdin;
  const Result<Secret> key = asks ? read_silently(options.name) : read_input(false);
  if (!key) return complain(key.error());
  const Result<void> stored = keyring.put(keystore::own_service, options.name, *key);
  if (!stored) return complain(stored.error());
  if (!options.common.silent) print_err("nono: stored " + printable(options.name) + "\n");
  return 0;
}

int list_keys(keystore::Keystore& keyring) {
  const Result<std::vector<std::string>> accounts = keyring.list(keystore::own_service);
  if (!accounts) return complain(accounts.error());
  std::string text;
  for (const std::string& account : *accounts) text += printable(account) + "\n";
  print_out(text);
  return 0;
}

int remove_key(const KeyOptions& options, keystore::Keystore& keyring) {
  const Result<bool> removed = keyring.erase(keystore::own_service, options.name);
  if (!removed) return complain(removed.error());
  if (!*removed)
    return complain("the keyring has no '" + options.name + "'; nono key list shows what it has");
  if (!options.common.silent) print_err("nono: removed " + printable(options.name) + "\n");
  return 0;
}

}  // namespace

int key_command(const KeyOptions& options, const UserContext& user) {
  if (options.action != KeyOptions::Action::list) {
    const Result<void> checked = keystore::check_account(options.name);
    if (!checked) return complain(checked.error(), exit_usage);
  }
  const Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user.env);
  if (!keyring) return complain(keyring.error());
  switch (options.action) {
    case KeyOptions::Action::set:
      return set_key(options, **keyring);
    case KeyOptions::Action::list:
      return list_keys(**keyring);
    case KeyOptions::Action::remove:
      return remove_key(options, **keyring);
  }
  return exit_error;
}

}  // namespace nono::cli
