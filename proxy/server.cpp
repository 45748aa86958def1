#include "proxy/server.hpp"

#include <algorithm>
#include <thread>

#include "proxy/admin/admin_thread.hpp"
#include "proxy/gateway.hpp"
#include "proxy/intercept/pem_identity.hpp"
#include "proxy/registry.hpp"
#include "proxy/status.hpp"
#include "proxy/worker.hpp"

namespace nono {

namespace {

void write_note(audit::Log& log, std::string text) {
  audit::Record note;
  note.kind = audit::Kind::note;
  note.time = std::chrono::system_clock::now();
  note.detail = std::move(text);
  log.write(std::move(note));
}

class ServerImpl final : public Server {
 public:
  Result<void> prepare(ServerOptions options) {
    gateway_.ca = std::move(options.ca);
    gateway_.server_name = std::move(options.server_name);
    Reload first;
    if (!options.tls_cert.empty()) {
      auto identity = intercept::read_identity(options.tls_cert, options.tls_key);
      if (!identity) return fail(identity.error());
      first.listener_certificate = std::move(*identity);
    }
    gateway_.dns = options.dns;
    gateway_.made_up_names = options.made_up_names;
    if (options.made_up_names && options.threads > 1) {
      return fail(ErrorCode::internal, "made-up addresses are known to one thread only");
    }
    version_ = std::move(options.version);
    // Before all others, which may be too many for a name each.
    if (options.main) gateway_.session_names.slot(options.main->config.name);
    gateway_.token_key = make_token_key();
    audit::LogOptions log_options;
    log_options.path = std::move(options.audit_log);
    log_options.required = options.audit_required;
    log_options.rotate_bytes = options.audit_rotate_bytes;
    log_options.keep = options.audit_keep;
    log_options.on_record = std::move(options.on_record);
    auto log = audit::Log::open(std::move(log_options));
    if (!log) return fail(log.error());
    gateway_.log = std::move(*log);
    for (std::string& text : options.audit_notes) write_note(*gateway_.log, std::move(text));
    for (unsigned index = 0; index < std::max(1U, options.threads); ++index) {
      auto& worker = workers_.emplace_back(std::make_unique<Worker>(gateway_));
      if (auto done = worker->prepare(); !done) return done;
    }
    registry_ = std::make_unique<SessionRegistry>(workers_);
    first.main = std::move(options.main);
    first.sessions = std::move(options.sessions);
    first.limits = options.limits;
    first.no_auth = options.no_auth;
    first.socks5 = options.socks5;
    first.via = options.via;
    if (auto applied = registry_->apply(std::move(first)); !applied) return applied;
    for (ListenerSetup& setup : options.listeners) {
      if (setup.captured) {
        workers_.front()->listen(std::move(setup.socket), {std::move(setup.captured), nullptr});
        continue;
      }
      auto sockets = listen_for_threads(std::move(setup.socket), workers_.size());
      if (!sockets) return fail(sockets.error());
      for (std::size_t index = 0; index < workers_.size(); ++index) {
        workers_[index]->listen(std::move((*sockets)[index]), setup.trusted, setup.tls,
                                setup.admits);
      }
    }
    if (!options.inbound.empty()) {
      auto queue = std::make_shared<InnerSocketQueue>(workers_.front()->executor(),
                                                      std::move(options.inner_sockets));
      for (InboundSetup& setup : options.inbound) {
        auto port = std::make_shared<const InnerPort>(InnerPort{queue, setup.port});
        workers_.front()->listen(std::move(setup.socket), {nullptr, std::move(port)});
      }
    }
    for (DnsSockets& pair : options.dns_listeners) {
      auto sockets = dns_for_threads(std::move(pair), workers_.size());
      if (!sockets) return fail(sockets.error());
      for (std::size_t index = 0; index < workers_.size(); ++index) {
        auto served = workers_[index]->serve_dns(std::move((*sockets)[index]));
        if (!served) return served;
      }
    }
    return {};
  }

  void run() override {
    gateway_.listening = true;
    std::vector<std::thread> threads;
    for (std::size_t index = 1; index < workers_.size(); ++index) {
      threads.emplace_back([this, index] { workers_[index]->run(); });
    }
    workers_.front()->run();
    for (std::thread& thread : threads) thread.join();
    status_pages_.reset();
    gateway_.log->flush();  // while the contexts are there to which it reports
    if (on_end_) on_end_();
    registry_.reset();
    workers_.clear();  // connections that were cut write their last records here
    gateway_.log->flush();
  }

  void on_readable(int fd, std::function<void()> handler) override {
    workers_.front()->on_readable(fd, std::move(handler));
  }

  void stop(std::chrono::milliseconds grace) override {
    gateway_.stopping = true;
    for (const auto& worker : workers_) worker->stop(grace);
  }

  std::vector<audit::Record> refusals() const override { return gateway_.refusals.take_copy(); }

  SessionRegistry& sessions() override { return *registry_; }

  void on_end(std::function<void()> handler) override { on_end_ = std::move(handler); }

  void serve_status(UniqueFd listener) override {
    status_ = std::make_unique<ServerStatus>(gateway_, workers_, *registry_, version_);
    admin::ServiceOptions options;
    // Whoever opened it to a network gave it a name there; a browser on this machine needs none.
    const auto address = local_address(listener);
    options.local_names_only =
        address && classify(address->host.address()) == AddressClass::loopback;
    status_pages_ = std::make_unique<admin::AdminThread>();
    status_pages_->serve(std::move(listener), admin::status_pages(*status_), std::move(options));
    status_pages_->start();
  }

  Executor executor() override { return workers_.front()->executor(); }

 private:
  Gateway gateway_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<SessionRegistry> registry_;
  std::string version_;
  std::unique_ptr<ServerStatus> status_;
  std::unique_ptr<admin::AdminThread> status_pages_;  // gone before what they ask
  std::function<void()> on_end_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::make(ServerOptions options) {
  auto server = std::make_unique<ServerImpl>();
  auto prepared = server->prepare(std::move(options));
  if (!prepared) return fail(prepared.error());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace nono
