#include "proxy/cli/dns_places.hpp"

#include "config/listen.hpp"
#include "proxy/listen.hpp"

namespace nono::cli {

Result<DnsListening> open_dns_listeners(const std::vector<std::string>& addresses, bool insecure,
                                        bool several_threads) {
  DnsListening listening;
  for (const std::string& text : addresses) {
    const Result<ListenAddress> wanted = parse_inet_listen(text, dns_port);
    if (!wanted) return fail(wanted.error());
    if (!wanted->on_loopback() && !insecure) {
      return fail(ErrorCode::bad_input,
                  "DNS on " + text +
                      " is off loopback, where everybody who reaches it can ask for the names that "
                      "the rules permit",
                  "listen on 127.0.0.1, or say --insecure-listen");
    }
    Result<DnsSockets> sockets = listen_dns(wanted->address, wanted->port, several_threads);
    if (!sockets) return fail(sockets.error());
    const Result<HostPort> bound = local_address(sockets->tcp);
    if (!bound) return fail(bound.error());
    listening.sockets.push_back(std::move(*sockets));
    listening.places.push_back(bound->to_string());
  }
  return listening;
}

}  // namespace nono::cli
