#pragma once
// The audit trail of one request: exactly one decision record on every path, and one end record
// where something was opened.

#include <chrono>
#include <optional>
#include <string>

#include "config/base/permit.hpp"
#include "proxy/audit/record.hpp"
#include "proxy/refuse.hpp"
#include "proxy/worker.hpp"

namespace nono {

// Lives in the frame of the coroutine that serves the request; the destructor writes what is due.
class Trail : public Pooled {
 public:
  Trail(Worker& worker, audit::Way way);
  ~Trail();
  Trail(const Trail&) = delete;
  Trail& operator=(const Trail&) = delete;

  // Whose request it is, once that is known. The session must outlive the trail.
  void session(Session& session);
  void target(const HostPort& target);
  void request(std::string_view method, std::string_view path);  // the query is cut off
  // The session's credential whose key goes upstream if the request is allowed.
  void credential(std::size_t index);

  // The decision yes. False: the audit log is required, and the request must not go on before
  // store() has ended without an error.
  [[nodiscard]] bool allow(Because because);
  Awaitable<Result<void>> store();
  // Observe mode lets pass what this would have refused: the record tells what. Before or after
  // allow().
  void observed(const Refusal& refusal);
  // The decision no, and what was answered. After allow(): the failure that ended the request.
  void refuse(const Problem& problem);

  // It turns out that nothing is decided here: requests follow that have trails of their own, or
  // none does.
  void retire() { retired_ = true; }

  void address(const IpAddress& address) { record_.address = address.to_string(); }
  void status(int status) { record_.status = status; }
  void moved(std::uint64_t to_upstream, std::uint64_t to_client);
  void detail(std::string text) { record_.detail = std::move(text); }

 private:
  std::size_t slot() const;

  Gateway& gateway_;
  metrics::Metrics& metrics_;
  Session* session_ = nullptr;
  std::optional<std::size_t> credential_;
  audit::Record record_;
  std::chrono::steady_clock::time_point start_;
  bool decided_ = false;
  bool opened_ = false;
  bool retired_ = false;
};

}  // namespace nono
