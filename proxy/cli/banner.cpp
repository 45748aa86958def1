#include "proxy/cli/banner.hpp"

#include <algorithm>
#include <map>

#include "proxy/cli/console.hpp"

namespace nono::cli {

namespace {

constexpr std::size_t listed_max = 6;

std::string short_access(Access access) {
  switch (access) {
    case Access::read:
      return "r";
    case Access::write:
      return "w";
    case Access::read_write:
      return "rw";
    case Access::none:
      break;
  }
  return "-";
}

std::string join(const std::vector<std::string>& parts, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < parts.size() && i < most; ++i) {
    if (i > 0) text += ", ";
    text += printable(parts[i]);
  }
  if (parts.size() > most) text += " and " + std::to_string(parts.size() - most) + " more";
  return text;
}

std::string line(std::string_view subject, const std::string& text) {
  std::string padded(subject);
  padded.resize(std::max<std::size_t>(padded.size() + 1, 9), ' ');
  return "  " + padded + text + "\n";
}

bool from_group(const HostRule& rule) {
  return rule.origin.text.starts_with("group ");
}

std::string files_line(const SessionConfig& config) {
  std::vector<std::string> named;
  std::size_t system = 0;
  for (const PathGrant& grant : config.grants) {
    if (grant.system) {
      ++system;
    } else {
      named.push_back(short_access(grant.access) + " " + grant.path);
    }
  }
  const std::string counted = std::to_string(system) + " system paths";
  return named.empty() ? counted : join(named, listed_max) + "; " + counted;
}

std::string network_line(const NetworkRules& network) {
  if (network.mode == NetworkMode::open) {
    return "open: internet connections are not filtered (--network-profile or --allow-domain does)";
  }
  if (network.mode == NetworkMode::blocked) return "none";
  std::vector<std::string> names = network.groups;
  for (const HostRule& rule : network.allow) {
    if (!from_group(rule)) names.push_back(rule.text);
  }
  return names.empty() ? "only the keys' own hosts" : "only " + join(names, listed_max);
}

std::string credential_text(const LoadedCredential& credential) {
  std::string text = credential.route.name;
  if (credential.secret) {
    text += " from " + credential.source;
  } else if (!credential.missing.empty()) {
    text += " MISSING";
  }
  if (!credential.route.phantom_vars.empty()) {
    text += ", phantom in " + credential.route.phantom_vars.front();
  }
  return text;
}

std::string credentials_line(const std::vector<LoadedCredential>& credentials) {
  std::string text;
  for (const LoadedCredential& credential : credentials) {
    text += (text.empty() ? "" : "; ") + printable(credential_text(credential));
  }
  return text;
}

// Behind the name: at most five lines are had.
std::string sandbox_words(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += ", " + printable(note);
  return text;
}

std::string sockets_line(const SessionConfig& config) {
  std::vector<std::string> paths;
  for (const PathGrant& socket : config.sockets) paths.push_back(socket.path);
  return paths.empty() ? "the command's own" : "the command's own, and " + join(paths, listed_max);
}

}  // namespace

std::string banner_text(const BannerFacts& facts) {
  const SessionConfig& config = facts.config;
  std::string files = files_line(config);
  if (!config.runtimes.empty()) files += "; runtime " + join(config.runtimes, 2);
  std::string text =
      "nono " NONO_VERSION +
      (config.name.empty() || config.name == "default" ? "" : " (" + printable(config.name) + ")") +
      sandbox_words(facts.sandbox) + "\n";
  text += line("files", files);
  if (config.unix_inside) text += line("sockets", sockets_line(config));
  text += line("network", network_line(config.network));
  if (!facts.credentials.empty()) text += line("keys", credentials_line(facts.credentials));
  if (!facts.withheld.empty()) {
    text += line("withheld", join(facts.withheld, listed_max) + " (--allow-env NAME passes one)");
  }
  return text;
}

std::string full_text(const BannerFacts& facts) {
  const SessionConfig& config = facts.config;
  std::string text = "nono " NONO_VERSION "\n";
  std::map<std::string, std::vector<std::string>> by_origin;
  for (const PathGrant& grant : config.grants) {
    by_origin[grant.origin].push_back(short_access(grant.access) + " " + grant.path);
  }
  text += "files\n";
  for (const auto& [origin, paths] : by_origin) {
    text += line(printable(origin), join(paths, paths.size()));
  }
  std::map<std::string, std::vector<std::string>> denied;
  for (const DenyPath& deny : config.denies) denied[deny.origin].push_back(deny.path);
  for (const auto& [origin, paths] : denied) {
    text += line("denied by " + printable(origin), join(paths, paths.size()));
  }
  for (const std::string& runtime : config.runtimes) text += line("runtime", printable(runtime));
  for (const std::string& note : facts.sandbox) text += line("sandbox", printable(note));
  if (config.unix_inside) text += "Unix sockets\n" + line("inside", sockets_line(config));
  text += "network\n" + line("mode", network_line(config.network));
  for (const HostRule& rule : config.network.allow) {
    text += line("allow", printable(rule.text) + " (" + printable(rule.origin.text) + ")");
  }
  for (const HostRule& rule : config.network.deny) {
    text += line("deny", printable(rule.text) + " (" + printable(rule.origin.text) + ")");
  }
  for (const Cidr& range : config.network.allow_private) text += line("private", range.to_string());
  for (const HostPort& server : config.dns_servers) text += line("dns", server.to_string());
  if (!facts.credentials.empty()) text += "keys\n";
  for (const LoadedCredential& credential : facts.credentials) {
    text += line(credential.route.name, printable(credential_text(credential)));
  }
  if (!facts.withheld.empty()) {
    text += "environment\n" + line("withheld", join(facts.withheld, facts.withheld.size()));
  }
  return text;
}

}  // namespace nono::cli
