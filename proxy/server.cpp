#include "proxy/server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "proxy/gateway.hpp"
#include "proxy/worker.hpp"

namespace nono {

namespace {

// A listening socket for one more thread: its own with SO_REUSEPORT, so that the kernel spreads
// connections, or the same one shared where that cannot be had (Unix sockets, sockets handed to
// us).
Result<UniqueFd> listener_for_another_thread(const UniqueFd& first) {
  int reuse = 0;
  socklen_t size = sizeof reuse;
  const bool spreads =
      ::getsockopt(first.get(), SOL_SOCKET, SO_REUSEPORT, &reuse, &size) == 0 && reuse != 0;
  if (spreads) {
    auto address = local_address(first);
    if (address) return listen_tcp(address->host.address(), address->port.value(), true);
  }
  UniqueFd copy(::dup(first.get()));
  if (!copy) return fail(errno_error(errno, "cannot share a listening socket"));
  return copy;
}

class ServerImpl final : public Server {
 public:
  Result<void> prepare(ServerOptions options) {
    gateway_.session = std::move(options.session);
    gateway_.credentials = std::move(options.credentials);
    gateway_.token = std::move(options.token);
    gateway_.ca = std::move(options.ca);
    gateway_.no_auth = options.no_auth;
    gateway_.limits = options.limits;
    gateway_.head_limits =
        http::HeadLimits{options.limits.head_bytes_max, options.limits.request_line_bytes_max,
                         options.limits.fields_max};
    gateway_.server_name = std::move(options.server_name);
    if (auto done = prepare_policy(); !done) return done;
    audit::LogOptions log_options;
    log_options.path = std::move(options.audit_log);
    log_options.required = options.audit_required;
    log_options.on_record = std::move(options.on_record);
    auto log = audit::Log::open(std::move(log_options));
    if (!log) return fail(log.error());
    gateway_.log = std::move(*log);
    for (unsigned index = 0; index < std::max(1U, options.threads); ++index) {
      auto& worker = workers_.emplace_back(std::make_unique<Worker>(gateway_));
      if (auto done = worker->prepare(); !done) return done;
      for (const ListenerSetup& setup : options.listeners) {
        if (index == 0) continue;
        auto another = listener_for_another_thread(setup.socket);
        if (!another) return fail(another.error());
        worker->listen(std::move(*another), setup.trusted);
      }
    }
    for (ListenerSetup& setup : options.listeners) {
      workers_.front()->listen(std::move(setup.socket), setup.trusted);
    }
    return {};
  }

  void run() override {
    std::vector<std::thread> threads;
    for (std::size_t index = 1; index < workers_.size(); ++index) {
      threads.emplace_back([this, index] { workers_[index]->run(); });
    }
    workers_.front()->run();
    for (std::thread& thread : threads) thread.join();
    gateway_.log->flush();  // while the contexts are there to which it reports
    workers_.clear();       // sessions that were cut write their last records here
    gateway_.log->flush();
  }

  void on_readable(int fd, std::function<void()> handler) override {
    workers_.front()->on_readable(fd, std::move(handler));
  }

  void stop(std::chrono::milliseconds grace) override {
    for (const auto& worker : workers_) worker->stop(grace);
  }

  std::vector<audit::Record> refusals() const override { return gateway_.refusals.take_copy(); }

 private:
  Result<void> prepare_policy() {
    std::vector<CredentialRoute> routes;
    std::vector<std::string> phantoms;
    for (const LoadedCredential& credential : gateway_.credentials) {
      routes.push_back(credential.route);
      phantoms.push_back(credential.phantom);
      gateway_.redactors.push_back(
          credential.secret ? std::make_unique<intercept::Redactor>(credential) : nullptr);
    }
    auto engine = policy::Engine::make(gateway_.session.network, routes);
    if (!engine) return fail(engine.error());
    gateway_.engine = std::move(*engine);
    gateway_.phantoms = std::make_unique<intercept::PhantomScanner>(phantoms);
    return {};
  }

  Gateway gateway_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::make(ServerOptions options) {
  auto server = std::make_unique<ServerImpl>();
  auto prepared = server->prepare(std::move(options));
  if (!prepared) return fail(prepared.error());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace nono
