// nono run: decide, fork the sandbox, and only then read keys and serve.

#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "proxy/cli/banner.hpp"
#include "proxy/cli/capture_plan.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/credentials.hpp"
#include "proxy/cli/diagnosis.hpp"
#include "proxy/cli/late_secrets.hpp"
#include "proxy/cli/process.hpp"
#include "proxy/cli/run_plan.hpp"
#include "proxy/cli/run_sandbox.hpp"
#include "proxy/cli/signals.hpp"
#include "proxy/intercept/bundle.hpp"
#include "proxy/intercept/ca.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

namespace {

void say_what_holds(const RunOptions& options, const RunPlan& plan,
                    const std::vector<LoadedCredential>& credentials) {
  for (const std::string& warning : plan.warnings) warn(options.common, warning);
  const bool verbose = options.common.verbose > 0;
  if (options.common.silent || (!verbose && !stderr_is_terminal())) return;
  const BannerFacts facts{plan.config, credentials, plan.withheld, plan.sandbox_notes};
  print_err(verbose ? full_text(facts) : banner_text(facts));
  if (verbose && !plan.audit_log.empty())
    print_err("audit log " + printable(plan.audit_log) + "\n");
}

int dry_run(const RunOptions& options, const RunPlan& plan) {
  std::vector<LoadedCredential> credentials;
  for (const PlannedCredential& planned : plan.credentials) {
    LoadedCredential credential;
    credential.route = planned.route;
    credentials.push_back(std::move(credential));
  }
  for (const std::string& warning : plan.warnings) warn(options.common, warning);
  std::string text = full_text(BannerFacts{plan.config, credentials, plan.withheld});
  for (const LoadedCredential& credential : credentials) {
    for (const std::string& source : credential.route.sources) {
      text += "  " + credential.route.name + " is looked for in " + printable(source) + "\n";
    }
  }
  text += "nothing was run; this would be, as " + printable(plan.sandbox.executable) + "\n  $";
  for (const std::string& word : plan.sandbox.argv) text += " " + printable(word);
  print_out(text + "\n");
  return 0;
}

Result<Signals> take_signals(const sandbox::SandboxChannel& channel) {
  std::vector<int> numbers = {SIGINT,   SIGTERM, SIGHUP,  SIGQUIT,
                              SIGWINCH, SIGUSR1, SIGUSR2, SIGCONT};
  if (channel.shares_terminal()) numbers.push_back(SIGTSTP);
  return Signals::take(numbers);
}

void forward(const Signals& signals, sandbox::SandboxChannel& channel) {
  while (const std::optional<ReceivedSignal> signal = signals.next()) {
    // A terminal's signals reach the command by themselves: it is in our process group, or has the
    // keys of its own terminal.
    if (!signal->from_process || channel.is_ours(signal->sender)) continue;
    (void)channel.signal(signal->number);
  }
}

// How the command ended, as an exit code; says what went wrong where it never began.
int finish(sandbox::SandboxChannel& channel) {
  const Result<sandbox::ExitStatus> status = channel.wait();
  if (!status) return complain(status.error(), exit_no_sandbox);
  if (status->out_of_memory) {
    complain("the limit of --memory was reached, and the kernel killed what used most");
  }
  if (!status->problem.empty()) return complain(status->problem, status->code);
  return status->code;
}

// Before anything starts: a port that is taken is an error of the start. The sandbox closes them.
Result<void> bind_listen_ports(RunPlan& plan) {
  for (const Port port : plan.config.listen_ports) {
    Result<UniqueFd> socket = listen_tcp(IpAddress::v4({127, 0, 0, 1}), port.value(), false);
    if (!socket) return fail(socket.error());
    plan.inbound.push_back(InboundSetup{std::move(*socket), port});
  }
  return {};
}

// What was refused, after the run.
void explain(const RunOptions& options, int exit_code, const std::vector<audit::Record>& refusals,
             const sandbox::SandboxChannel& channel) {
  if (options.common.silent) return;
  const RunFacts facts{exit_code, options.diagnose, refusals, channel.denied_paths()};
  print_err(options.diagnostics_json ? diagnostics_json(facts) : diagnostics_text(facts));
}

// No proxy: waits for the command and passes signals on.
int run_without_proxy(sandbox::SandboxChannel& channel, const Signals& signals) {
  if (const Result<void> started = channel.go(); !started) {
    return complain(started.error(), exit_no_sandbox);
  }
  pollfd watched[] = {{channel.ended_fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}};
  while (watched[0].revents == 0) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) break;
    forward(signals, channel);
  }
  return finish(channel);
}

// The per-run CA, its certificate written into the bundle that the command was given the path of.
Result<std::shared_ptr<intercept::CertificateAuthority>> make_authority(const RunOptions& options,
                                                                        const UserContext& user,
                                                                        const RunPlan& plan) {
  const unsigned days = options.policy.ca_validity_days.value_or(1);
  auto authority = intercept::CertificateAuthority::generate(std::chrono::hours(24) * days);
  if (!authority) return authority;
  const Result<void> written =
      intercept::write_bundle(plan.bundle, **authority, user.env("SSL_CERT_FILE"));
  if (!written) return fail(written.error());
  return authority;
}

// Sockets of the sandbox's network, for connections to the command's servers.
class SocketsInside final : public InnerSockets {
 public:
  explicit SocketsInside(sandbox::SandboxChannel& channel) : channel_(channel) {}
  bool ask(bool v6) override { return channel_.ask_for_inner_socket(v6); }
  Taken take() override {
    sandbox::SandboxChannel::InnerSocket inner = channel_.take_inner_socket();
    using State = sandbox::SandboxChannel::InnerSocket::State;
    switch (inner.state) {
      case State::one:
        return {Taken::State::one, std::move(inner.socket)};
      case State::none:
        return {Taken::State::none, {}};
      case State::over:
        return {Taken::State::over, {}};
      case State::none_yet:
        break;
    }
    return {};
  }
  int fd() const override { return channel_.inner_sockets_fd(); }

 private:
  sandbox::SandboxChannel& channel_;
};

Result<std::unique_ptr<Server>> make_server(const RunOptions& options, const UserContext& user,
                                            RunPlan& plan,
                                            std::vector<LoadedCredential> credentials,
                                            sandbox::SandboxSockets sockets,
                                            sandbox::SandboxChannel& channel) {
  ServerOptions server;
  server.audit_notes = plan.sandbox_notes;
  if (plan.directory) {
    auto authority = make_authority(options, user, plan);
    if (!authority) return fail(authority.error());
    server.ca = *authority;
  }
  plan.bundle.reset();
  SessionSetup& session = server.main.emplace();
  session.config = plan.config;
  session.credentials = std::move(credentials);
  session.token = Secret(plan.token);
  listen_inside(std::move(sockets), channel, server);
  server.inbound = std::move(plan.inbound);
  if (!server.inbound.empty()) server.inner_sockets = std::make_shared<SocketsInside>(channel);
  server.audit_log = plan.audit_log;
  server.audit_required = options.policy.audit_required;
  return Server::make(std::move(server));
}

int serve(Server& server, sandbox::SandboxChannel& channel, const Signals& signals) {
  if (const Result<void> started = channel.go(); !started) {
    return complain(started.error(), exit_no_sandbox);
  }
  int exit_code = exit_error;
  bool ended = false;
  server.on_readable(signals.fd(), [&] { forward(signals, channel); });
  server.on_readable(channel.ended_fd(), [&] {
    if (ended) return;
    ended = true;
    exit_code = finish(channel);
    server.stop(std::chrono::milliseconds(0));  // nobody is left to be served
  });
  server.run();
  return exit_code;
}

// What was denied, was not there to be hidden, and is there now.
void look_at_missing_denies(const RunOptions& options, const SessionConfig& config) {
  for (const std::string& path : config.missing_denies) {
    struct stat info = {};
    if (::lstat(path.c_str(), &info) != 0) continue;
    warn(options.common, path +
                             " is a protected path and was made during the run, by the command "
                             "perhaps: look at it before anything uses it");
  }
}

int run_with_proxy(const RunOptions& options, const UserContext& user, RunPlan& plan,
                   sandbox::SandboxChannel& channel, const Signals& signals) {
  const Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user.env);
  if (!keyring) return complain(keyring.error());
  Result<LoadedCredentials> loaded = load_interruptibly(plan.credentials, **keyring, user.env,
                                                        signals, [&] { plan.directory.reset(); });
  if (!loaded) return complain(loaded.error());
  for (const LoadedCredential& credential : loaded->credentials) {
    if (!credential.secret) return complain(credential.missing);
  }
  const std::vector<std::string> holders =
      variables_holding_keys(plan.sandbox.env, loaded->credentials);
  if (const Result<void> kept = channel.withhold(holders); !kept) return complain(kept.error());
  plan.withheld.insert(plan.withheld.end(), holders.begin(), holders.end());
  plan.warnings.insert(plan.warnings.end(), loaded->warnings.begin(), loaded->warnings.end());
  sandbox::SandboxSockets sockets = channel.take_sockets();
  const std::string partly = capture_warning(plan.config, plan.sandbox.capture, sockets.all_ports);
  if (!partly.empty()) plan.warnings.push_back(partly);
  say_what_holds(options, plan, loaded->credentials);
  Result<std::unique_ptr<Server>> server =
      make_server(options, user, plan, std::move(loaded->credentials), std::move(sockets), channel);
  if (!server) return complain(server.error());
  const int exit_code = serve(**server, channel, signals);
  explain(options, exit_code, (*server)->refusals(), channel);
  return exit_code;
}

}  // namespace

int run_command(const RunOptions& options, const UserContext& user, sandbox::Ahead ahead) {
  tl::expected<RunPlan, RunFailure> plan = make_run_plan(options, user, std::move(ahead));
  if (!plan) return complain(plan.error().error, plan.error().exit_code);
  if (options.dry_run) return dry_run(options, *plan);

  if (Result<void> bound = bind_listen_ports(*plan); !bound) return complain(bound.error());
  // The fork. There is one thread and no key in memory yet; signals and limits are still the
  // user's.
  Result<std::unique_ptr<sandbox::SandboxChannel>> channel = start_run_sandbox(options, *plan);
  if (!channel) {
    const bool ours = channel.error().code == ErrorCode::bad_input;
    return complain(channel.error(), ours ? exit_error : exit_no_sandbox);
  }
  harden_process();
  const Result<Signals> signals = take_signals(**channel);
  if (!signals) return complain(signals.error());
  int exit_code = exit_error;
  if (plan->config.network.mode == NetworkMode::filtered) {
    exit_code = run_with_proxy(options, user, *plan, **channel, *signals);
  } else {
    say_what_holds(options, *plan, {});
    exit_code = run_without_proxy(**channel, *signals);
    explain(options, exit_code, {}, **channel);
  }
  look_at_missing_denies(options, plan->config);
  return exit_code;
}

}  // namespace nono::cli
