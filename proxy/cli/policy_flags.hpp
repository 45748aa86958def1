#pragma once
// The flags that `run`, `proxy` and `session create` share, and the variables that stand in for
// them. Only options*.cpp and policy_flags.cpp see CLI11.

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/cli/options.hpp"

namespace CLI {
class App;
}

namespace nono::cli {

// Registers groups of flags on a parser, which then fills the members; they must outlive it.
class PolicyFlags {
 public:
  void add_files(CLI::App& app);
  void add_network(CLI::App& app);
  void add_block_net(CLI::App& app);
  void add_ports(CLI::App& app);
  void add_credentials(CLI::App& app);
  void add_ca(CLI::App& app);
  void add_environment(CLI::App& app);
  void add_profile(CLI::App& app);
  void add_audit(CLI::App& app);

  // Takes NONO_* variables for flags that were not given: for `run` those of files and --block-net
  // too, for a session none of what belongs to the whole proxy.
  enum class For : std::uint8_t { run, proxy, session };
  void read_environment(const EnvLookup& env, For command);

  // Checks and converts. Deprecated spellings that were used are added to `notes`. Error:
  // bad_input.
  Result<PolicyOptions> finish(std::vector<std::string>& notes) const;

  std::optional<std::uint16_t> proxy_port;

 private:
  using Words = std::vector<std::string>;
  void read_ca_validity(const EnvLookup& env);
  bool yes_or_no(const EnvLookup& env, std::initializer_list<const char*> names);
  void note_deprecated(std::vector<std::string>& notes) const;
  Result<void> finish_network(Settings& settings) const;
  Result<void> finish_ports(Settings& settings) const;
  Result<void> finish_environment(Settings& settings) const;
  void finish_files(Settings& settings) const;

  Words allow_, read_, write_, allow_file_, read_file_, write_file_;
  Words bypass_, old_bypass_, unix_socket_;
  std::string unix_sockets_;
  bool block_net_ = false, observe_ = false;
  std::string network_profile_;
  Words allow_domain_, old_allow_domain_, deny_domain_, allow_private_, dns_server_;
  Words open_port_, listen_port_;
  Words credential_, allow_endpoint_, upstream_ca_, upstream_bypass_;
  std::string upstream_proxy_;
  std::optional<unsigned> ca_validity_;
  std::string bad_variable_;  // the first NONO_* variable that could not be read
  Words allow_env_, set_env_;
  std::string profile_;
  Words extends_;
  std::string audit_log_, audit_;
};

}  // namespace nono::cli
