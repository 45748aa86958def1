#include "proxy/cli/footer.hpp"

#include <algorithm>
#include <set>

#include "config/base/address.hpp"
#include "proxy/cli/console.hpp"

namespace nono::cli {

namespace {

constexpr std::size_t listed_max = 20;

// Of a record or of a refused host.
template <class Place>
std::string host_and_port(const Place& record) {
  if (record.port == 0) return record.host;
  const bool v6 = record.host.find(':') != std::string::npos;
  return (v6 ? "[" + record.host + "]" : record.host) + ":" + std::to_string(record.port);
}

// As --allow-domain takes it: ports 80 and 443 need not be written.
std::string as_rule(const audit::Record& record) {
  if (record.port == 0 || record.port == 80 || record.port == 443) return record.host;
  return host_and_port(record);
}

bool is_address(const audit::Record& record) {
  return IpAddress::parse(record.host).has_value();
}

// Captured on its way to the sandbox's own loopback.
bool is_loopback(const audit::Record& record) {
  const auto address = IpAddress::parse(record.host);
  return record.way == audit::Way::captured && address &&
         classify(*address) == AddressClass::loopback;
}

// What would change the decision; where nothing does, why it was made.
std::string remedy(const audit::Record& record) {
  const std::string& rule = record.because.rule;
  switch (record.because.reason) {
    case Reason::no_rule:
      if (is_loopback(record)) {
        return "nothing listens there inside; --open-port " + std::to_string(record.port) +
               " leads to this machine's own";
      }
      return "allow it with --allow-domain " + as_rule(record);
    case Reason::private_address:
      if (is_address(record)) return "allow it with --allow-domain " + as_rule(record);
      return record.address.empty() ? "allow its range with --allow-private CIDR"
                                    : "its address is private; --allow-private " + record.address;
    case Reason::rule_denies:
      return "denied by the rule " + rule;
    case Reason::network_blocked:
      return "the network is blocked";
    case Reason::always_denied:
      return "link-local and metadata addresses are never allowed";
    case Reason::endpoint_denied:
      return record.method + " " + record.path + " is in no rule for this host" +
             (record.credential.empty() ? ""
                                        : "; --allow-endpoint " + record.credential + ":" +
                                              record.method + ":" + record.path);
    case Reason::foreign_credential:
      return "a key that is not the phantom was sent; use the one in the environment";
    case Reason::phantom_elsewhere:
      return "a phantom was on its way to a place it is not for";
    default:
      return record.detail;
  }
}

bool by_policy(const audit::Record& record) {
  switch (record.because.reason) {
    case Reason::no_rule:
    case Reason::private_address:
    case Reason::rule_denies:
    case Reason::network_blocked:
    case Reason::always_denied:
    case Reason::endpoint_denied:
    case Reason::foreign_credential:
    case Reason::phantom_elsewhere:
    case Reason::authority_mismatch:
    case Reason::bad_target:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<RefusedHost> refused_hosts(const std::vector<audit::Record>& refusals) {
  std::set<std::string> seen;
  std::vector<RefusedHost> hosts;
  for (const audit::Record& record : refusals) {
    if (record.allowed || !by_policy(record)) continue;
    if (!seen.insert(record.host).second) continue;
    hosts.push_back(RefusedHost{record.host, record.port,
                                std::string(to_string(record.because.reason)), record.because.rule,
                                remedy(record)});
  }
  return hosts;
}

std::string footer_text(const std::vector<audit::Record>& refusals) {
  const std::vector<RefusedHost> hosts = refused_hosts(refusals);
  if (hosts.empty()) return {};
  std::string lines;
  for (std::size_t at = 0; at < std::min(hosts.size(), listed_max); ++at) {
    const std::string host = hosts[at].host.empty() ? "(no host)" : host_and_port(hosts[at]);
    lines += "  " + printable(host) + "  " + printable(hosts[at].remedy) + "\n";
  }
  if (hosts.size() > listed_max) {
    lines +=
        "  and " + std::to_string(hosts.size() - listed_max) + " more; the audit log has all\n";
  }
  return "nono: refused " + std::to_string(hosts.size()) +
         (hosts.size() == 1 ? " host:\n" : " hosts:\n") + lines;
}

}  // namespace nono::cli
