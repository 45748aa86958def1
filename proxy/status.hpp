#pragma once
// How a server is and what it has counted, for status pages.

#include <memory>
#include <string>
#include <vector>

#include "proxy/admin/status.hpp"
#include "proxy/gateway.hpp"
#include "proxy/registry.hpp"
#include "proxy/worker.hpp"

namespace nono {

// Used on the status pages' thread. All that it is given must outlive it.
class ServerStatus final : public admin::StatusSource {
 public:
  ServerStatus(Gateway& gateway, const std::vector<std::unique_ptr<Worker>>& workers,
               const SessionRegistry& registry, std::string version)
      : gateway_(gateway), workers_(workers), registry_(registry), version_(std::move(version)) {}

  admin::Health health() const override;
  std::string metrics() const override;

 private:
  metrics::Values totals() const;

  Gateway& gateway_;
  const std::vector<std::unique_ptr<Worker>>& workers_;
  const SessionRegistry& registry_;
  std::string version_;
};

}  // namespace nono
