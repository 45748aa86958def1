#include "proxy/cli/credentials.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <thread>

#include "config/base/fd.hpp"
#include "keystore/sources.hpp"

namespace nono::cli {

Result<LoadedCredentials> load_credentials(const std::vector<PlannedCredential>& planned,
                                           keystore::Keystore& keyring, const EnvLookup& env) {
  LoadedCredentials loaded;
  for (const PlannedCredential& plan : planned) {
    LoadedCredential credential;
    credential.route = plan.route;
    credential.phantom = plan.phantom;
    Result<keystore::FoundSecret> found = keystore::read_first(plan.route.sources, keyring, env);
    if (found) {
      credential.secret = std::move(found->secret);
      credential.source = found->reference;
      if (!found->warning.empty()) loaded.warnings.push_back(found->warning);
    } else if (found.error().code == ErrorCode::secret_missing) {
      credential.missing = "no key for " + plan.route.name + ": " + found.error().what;
      if (!found.error().fix.empty()) credential.missing += "; " + found.error().fix;
    } else {
      Error error = found.error();
      error.what = "the key for " + plan.route.name + ": " + error.what;
      return fail(std::move(error));
    }
    loaded.credentials.push_back(std::move(credential));
  }
  return loaded;
}

Result<LoadedCredentials> load_interruptibly(const std::vector<PlannedCredential>& planned,
                                             keystore::Keystore& keyring, const EnvLookup& env,
                                             const Signals& signals,
                                             const std::function<void()>& interrupted) {
  if (planned.empty()) return LoadedCredentials{};
  const UniqueFd done(::eventfd(0, EFD_CLOEXEC));
  if (!done) return fail(errno_error(errno, "eventfd"));
  Result<LoadedCredentials> loaded;
  std::thread reader([&] {
    loaded = load_credentials(planned, keyring, env);
    const std::uint64_t one = 1;
    (void)!::write(done.get(), &one, sizeof one);
  });
  pollfd watched[] = {{done.get(), POLLIN, 0}, {signals.fd(), POLLIN, 0}};
  while (watched[0].revents == 0) {
    if (::poll(watched, 2, -1) < 0) continue;
    const std::optional<ReceivedSignal> signal = signals.next();
    if (!signal || signal->number == SIGWINCH || signal->number == SIGCONT) continue;
    if (signal->number == SIGTSTP) {
      stop_as_by_terminal();  // the command does not run yet, and stops nobody
      continue;
    }
    interrupted();
    ::_exit(128 + signal->number);  // the reader cannot be cancelled, and holds nothing on disk
  }
  reader.join();
  return loaded;
}

Result<std::unique_ptr<keystore::Keystore>> open_keyring(const EnvLookup& env) {
  std::chrono::seconds timeout(120);
  if (const std::optional<std::string> text = env("NONO_KEYRING_TIMEOUT_SECS")) {
    unsigned seconds = 0;
    const char* end = text->data() + text->size();
    const auto [stopped, error] = std::from_chars(text->data(), end, seconds);
    if (error != std::errc() || stopped != end || seconds > 86'400) {
      return fail(ErrorCode::bad_input, "NONO_KEYRING_TIMEOUT_SECS takes seconds, 0 for no limit");
    }
    timeout = std::chrono::seconds(seconds);
  }
  return keystore::open_system_keystore(timeout);
}

}  // namespace nono::cli
