#include "keystore/sources.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <variant>

#include "config/base/fd.hpp"
#include "config/base/on_exit.hpp"

namespace nono::keystore {

namespace {

struct FromKeyring {
  std::string service, account;
};
struct FromVariable {
  std::string name;
};
struct FromFile {
  std::string path;
};
using Source = std::variant<FromKeyring, FromVariable, FromFile>;

constexpr std::size_t reference_bytes_max = 1024;
constexpr std::size_t secret_bytes_max = 64 * 1024;

tl::unexpected<Error> bad(std::string what, std::string fix = {}) {
  return fail(ErrorCode::bad_input, std::move(what), std::move(fix));
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// Variables that steer the shell or the loader; a secret is never there, a mistake may be.
bool dangerous_variable(std::string_view name) {
  static constexpr std::array names{"PATH",       "HOME",       "SHELL",
                                    "USER",       "LOGNAME",    "PWD",
                                    "OLDPWD",     "IFS",        "ENV",
                                    "BASH_ENV",   "CDPATH",     "TMPDIR",
                                    "PYTHONPATH", "PYTHONHOME", "NODE_OPTIONS",
                                    "NODE_PATH",  "PERL5LIB",   "PERL5OPT",
                                    "RUBYLIB",    "RUBYOPT",    "JAVA_TOOL_OPTIONS"};
  if (name.starts_with("LD_") || name.starts_with("DYLD_")) return true;
  return std::find(names.begin(), names.end(), name) != names.end();
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

Result<Source> parse_keyring(std::string_view rest) {
  if (rest.find('?') != std::string_view::npos) {
    return bad("keyring:// takes no options after '?'");
  }
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == rest.size() ||
      rest.find('/', slash + 1) != std::string_view::npos) {
    return bad("a keyring reference is keyring://service/account");
  }
  const std::optional<std::string> service = percent_decode(rest.substr(0, slash));
  const std::optional<std::string> account = percent_decode(rest.substr(slash + 1));
  if (!service || !account || !printable(*service) || !printable(*account)) {
    return bad("a keyring reference is keyring://service/account, in printable ASCII");
  }
  return Source(FromKeyring{*service, *account});
}

Result<Source> parse_variable(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), allowed) ||
      (name.front() >= '0' && name.front() <= '9')) {
    return bad("env:// takes a variable's name: letters, digits and '_'");
  }
  if (dangerous_variable(name)) {
    return bad("env://" + std::string(name) + " is not a place for a secret");
  }
  return Source(FromVariable{std::string(name)});
}

Result<Source> parse_file(std::string_view path) {
  if (path.empty() || path.front() != '/') {
    return bad("file:// takes an absolute path: file:///path/to/key");
  }
  const bool controls = std::any_of(path.begin(), path.end(),
                                    [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
  if (controls) return bad("a file:// path holds no control characters");
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (path.substr(start, end - start) == "..") return bad("a file:// path holds no '..'");
    start = end + 1;
  }
  return Source(FromFile{std::string(path)});
}

Result<Source> parse(std::string_view reference) {
  if (reference.empty()) return bad("an empty secret reference");
  if (reference.size() > reference_bytes_max) return bad("a secret reference over 1024 bytes");
  const std::size_t colon = reference.find("://");
  if (colon == std::string_view::npos) {
    if (Result<void> checked = check_account(reference); !checked) return fail(checked.error());
    return Source(FromKeyring{std::string(own_service), std::string(reference)});
  }
  const std::string_view scheme = reference.substr(0, colon), rest = reference.substr(colon + 3);
  if (scheme == "keyring") return parse_keyring(rest);
  if (scheme == "env") return parse_variable(rest);
  if (scheme == "file") return parse_file(rest);
  static constexpr std::array later{"cmd", "op", "bw", "apple-password", "apple-passwords"};
  if (std::find(later.begin(), later.end(), scheme) != later.end()) {
    return bad(
        std::string(scheme) + ":// is not supported yet",
        "use env://VAR, file:///path, keyring://service/account or a keyring account's name");
  }
  const std::string shown = printable(scheme) ? std::string(scheme) : "that scheme";
  return bad(shown + ":// is no kind of secret reference",
             "use env://VAR, file:///path, keyring://service/account or a keyring account's name");
}

tl::unexpected<Error> missing(std::string what) {
  return fail(ErrorCode::secret_missing, std::move(what));
}

// Keys pasted through `echo` end in a newline that belongs to nobody.
Result<Secret> checked_value(std::string_view bytes, const std::string& place) {
  if (bytes.ends_with('\n')) bytes.remove_suffix(1);
  if (bytes.ends_with('\r')) bytes.remove_suffix(1);
  if (bytes.empty()) return missing(place + " is empty");
  const bool broken = bytes.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
  if (broken) return bad(place + " holds a line break or a NUL, so it is no key");
  return Secret(bytes);
}

Result<FoundSecret> read_variable(const FromVariable& source,
                                  const EnvironmentLookup& environment) {
  std::optional<std::string> value = environment(source.name);
  if (!value) return missing("$" + source.name + " is not set");
  const OnExit wiped([&] { wipe(value->data(), value->size()); });
  Result<Secret> secret = checked_value(*value, "$" + source.name);
  if (!secret) return fail(secret.error());
  return FoundSecret{std::move(*secret), "env://" + source.name};
}

Result<FoundSecret> read_file(const FromFile& source) {
  // O_NONBLOCK: a FIFO is refused below instead of being waited for.
  const UniqueFd fd(::open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT) return missing("there is no file " + source.path);
    return fail(errno_error(errno, "reading " + source.path));
  }
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) return fail(errno_error(errno, "reading " + source.path));
  if (!S_ISREG(status.st_mode)) return bad(source.path + " is not a regular file");

  std::string bytes(secret_bytes_max + 1, '\0');
  const OnExit wiped([&] { wipe(bytes.data(), bytes.size()); });
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t count = ::read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error(errno, "reading " + source.path));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > secret_bytes_max) return bad(source.path + " is over 64 KiB, so it is no key");
  Result<Secret> secret =
      checked_value(std::string_view(bytes).substr(0, size), "the file " + source.path);
  if (!secret) return fail(secret.error());
  FoundSecret found{std::move(*secret), "file://" + source.path};
  // Container platforms mount secrets there for everyone by design.
  const bool mounted =
      source.path.starts_with("/run/secrets/") || source.path.starts_with("/var/run/secrets/");
  if ((status.st_mode & S_IROTH) != 0 && !mounted) {
    found.warning = "the file " + source.path + " can be read by everyone; chmod 600 it";
  }
  return found;
}

Result<FoundSecret> read_keyring(const FromKeyring& source, Keystore& keyring) {
  Result<Secret> stored = keyring.get(source.service, source.account);
  if (!stored) return fail(stored.error());
  const std::string place = "the keyring's '" + source.account + "'";
  Result<Secret> secret = checked_value(stored->expose(), place);
  if (!secret) return fail(secret.error());
  return FoundSecret{std::move(*secret), "keyring://" + source.service + "/" + source.account};
}

Result<FoundSecret> read_source(const Source& source, Keystore& keyring,
                                const EnvironmentLookup& environment) {
  if (const auto* variable = std::get_if<FromVariable>(&source))
    return read_variable(*variable, environment);
  if (const auto* file = std::get_if<FromFile>(&source)) return read_file(*file);
  return read_keyring(std::get<FromKeyring>(source), keyring);
}

// What to do about a secret that none of `sources` has.
std::string remedy(const std::vector<Source>& sources, bool keyring_unreachable) {
  std::string store, set;
  for (const Source& source : sources) {
    if (const auto* account = std::get_if<FromKeyring>(&source);
        account != nullptr && store.empty()) {
      store = account->service == own_service
                  ? store_command(account->account)
                  : "secret-tool store --label='" + account->service + "' service '" +
                        account->service + "' username '" + account->account + "' target default";
    }
    if (const auto* variable = std::get_if<FromVariable>(&source);
        variable != nullptr && set.empty()) {
      set = "export " + variable->name + "=...";
    }
    if (const auto* file = std::get_if<FromFile>(&source); file != nullptr && set.empty()) {
      set = "write it to " + file->path;
    }
  }
  if (store.empty()) return set;
  if (keyring_unreachable) {
    return set.empty() ? "give it another source: NAME=env://VAR or NAME=file:///path" : set;
  }
  return "store it with: " + store + (set.empty() ? "" : "   (or: " + set + ")");
}

}  // namespace

Result<void> check_account(std::string_view account) {
  if (account.empty() || account.size() > 255 || !printable(account) ||
      account.find('/') != std::string_view::npos || account.front() == ' ' ||
      account.back() == ' ') {
    return bad("a key's name is 1 to 255 printable ASCII characters without '/'");
  }
  return {};
}

Result<void> check_reference(std::string_view reference) {
  Result<Source> source = parse(reference);
  if (!source) return fail(source.error());
  return {};
}

Result<FoundSecret> read_first(const std::vector<std::string>& references, Keystore& keyring,
                               const EnvironmentLookup& environment) {
  std::vector<Source> sources;
  for (const std::string& reference : references) {
    Result<Source> source = parse(reference);
    if (!source) return fail(source.error());
    sources.push_back(std::move(*source));
  }
  std::string tried;
  bool keyring_unreachable = false;
  for (const Source& source : sources) {
    const bool in_keyring = std::holds_alternative<FromKeyring>(source);
    if (in_keyring && keyring_unreachable) continue;  // said once
    Result<FoundSecret> found = read_source(source, keyring, environment);
    if (found) return found;
    const bool unreachable = in_keyring && found.error().code == ErrorCode::not_supported;
    if (found.error().code != ErrorCode::secret_missing && !unreachable) return found;
    keyring_unreachable = keyring_unreachable || unreachable;
    tried += (tried.empty() ? "" : "; ") + found.error().what;
  }
  if (tried.empty()) tried = "no source is given for it";
  return fail(ErrorCode::secret_missing, tried, remedy(sources, keyring_unreachable));
}

std::string store_command(std::string_view account) {
  const bool plain = std::all_of(account.begin(), account.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
  return "nono key set " + (plain ? std::string(account) : "'" + std::string(account) + "'");
}

}  // namespace nono::keystore
