#include "proxy/cli/run_sandbox.hpp"

#include <algorithm>

#include "sandbox/registered_ports.hpp"

namespace nono::cli {

namespace {

// Of the notify backend: what its supervisor registered for the connection.
class RegisteredDestination final : public OriginalDestination {
 public:
  explicit RegisteredDestination(std::shared_ptr<sandbox::RegisteredPorts> ports)
      : ports_(std::move(ports)) {}
  std::optional<HostPort> of(int accepted) override {
    const std::optional<sandbox::Destination> destination = ports_->take_for(accepted);
    if (!destination) return std::nullopt;
    return HostPort{destination->address, Port(destination->port)};
  }

 private:
  std::shared_ptr<sandbox::RegisteredPorts> ports_;
};

bool contains(const std::vector<sandbox::Weakness>& weaknesses, sandbox::Weakness weakness) {
  return std::find(weaknesses.begin(), weaknesses.end(), weakness) != weaknesses.end();
}

// The reason alone: the command is sandboxed, after all.
std::string why(const Error& error) {
  const std::string prefix = "cannot sandbox: ";
  const std::string reason =
      error.what.starts_with(prefix) ? error.what.substr(prefix.size()) : error.what;
  return "nono " + reason;
}

std::vector<std::string> notes_on(const sandbox::BackendChoice& choice,
                                  const sandbox::SandboxPlan& plan) {
  std::vector<std::string> notes;
  if (choice.backend == sandbox::Backend::netns) return notes;
  notes.push_back("notify backend" + (choice.instead ? ", since " + why(*choice.instead) : ""));
  for (const sandbox::Weakness weakness : sandbox::weaknesses_in_effect(plan)) {
    notes.push_back("weak: " + std::string(sandbox::to_string(weakness)) + ": " +
                    std::string(sandbox::describe(weakness)));
  }
  return notes;
}

}  // namespace

Result<std::unique_ptr<sandbox::SandboxChannel>> start_run_sandbox(const RunOptions& options,
                                                                   RunPlan& plan) {
  plan.sandbox.accepted = options.weak;
  plan.sandbox.listen_ports = plan.config.listen_ports;
  Result<sandbox::Started> started =
      sandbox::start_on_backend(plan.sandbox, {options.backend, plan.known}, std::move(plan.ahead));
  if (!started) return fail(started.error());

  const std::vector<sandbox::Weakness> in_effect = sandbox::weaknesses_in_effect(plan.sandbox);
  for (const sandbox::Weakness weakness : options.weak) {
    if (contains(in_effect, weakness)) continue;
    plan.warnings.push_back("--weak " + std::string(sandbox::to_string(weakness)) +
                            " changes nothing here: it is not missed");
  }
  // There the command's servers stand on these ports themselves: nothing is forwarded to them.
  if (plan.sandbox.backend == sandbox::Backend::notify) plan.inbound.clear();
  plan.sandbox_notes = notes_on(started->choice, plan.sandbox);
  const std::vector<std::string> warnings = started->channel->warnings();
  plan.warnings.insert(plan.warnings.end(), warnings.begin(), warnings.end());
  return std::move(started->channel);
}

void listen_inside(sandbox::SandboxSockets sockets, const sandbox::SandboxChannel& channel,
                   ServerOptions& server) {
  const std::shared_ptr<sandbox::RegisteredPorts> ports = channel.registered_ports();
  std::shared_ptr<OriginalDestination> destination = own_address_as_destination();
  std::function<bool(int)> admits;
  if (ports) {
    destination = std::make_shared<RegisteredDestination>(ports);
    admits = [ports](int accepted) { return ports->take_for(accepted).has_value(); };
  }
  ListenerSetup proxy;
  proxy.socket = std::move(sockets.proxy);
  // Where only this sandbox can reach it, it is the session's identity.
  proxy.trusted = channel.listeners_are_private();
  proxy.admits = admits;
  server.listeners.push_back(std::move(proxy));
  for (UniqueFd& socket : sockets.captured) {
    ListenerSetup captured;
    captured.socket = std::move(socket);
    captured.trusted = true;
    captured.captured = destination;
    server.listeners.push_back(std::move(captured));
  }
  if (!sockets.dns_tcp) return;
  server.made_up_names.emplace();
  DnsSockets dns;
  dns.udp = std::move(sockets.dns_udp);
  dns.tcp = std::move(sockets.dns_tcp);
  dns.admits = std::move(admits);
  server.dns_listeners.push_back(std::move(dns));
}

}  // namespace nono::cli
