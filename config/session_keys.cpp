// `sessions:` of nono.yaml.

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "config/proxy_schema.hpp"

namespace nono {

bool is_session_name(std::string_view name) {
  constexpr std::size_t octets_max = 64;
  const auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  if (name.empty() || name.size() > octets_max || !alphanumeric(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

namespace document {
namespace {

using F = Field<SessionFile>;

Settings& settings_of(SessionFile& file) {
  return file.entry.settings;
}

void read_name(const F& f) {
  std::optional<std::string> name = as_string(f.problems, f.node, f.key);
  if (!name) return;
  if (!is_session_name(*name)) {
    f.problems.at(f.node, fmt::format("name: '{}' is no session's name; 1 to 64 letters, digits, "
                                      "'-', '_' and '.', the first a letter or digit",
                                      *name));
  }
  f.out.entry.name = *name;
}

void read_ttl(const F& f) {
  std::optional<std::chrono::milliseconds> ttl = as_duration(f.problems, f.node, f.key);
  if (ttl && (*ttl < session_ttl_min || *ttl > session_ttl_max)) {
    f.problems.at(f.node, "ttl: from 1s to 366d");
  }
  f.out.entry.ttl = ttl;
}

// A key that is known, but not here.
void whole_proxy(const F& f) {
  f.problems.at(f.node, fmt::format("{} belongs to the whole proxy, not to one session; write it "
                                    "at the top of the file",
                                    f.key));
}

void in_profile(const F& f) {
  f.problems.at(f.node,
                "dns: a session's servers are its profile's network.dns_servers; for all "
                "sessions write dns at the top of the file");
}

std::vector<Key<SessionFile>> make_session_keys() {
  std::vector<Key<SessionFile>> keys = {
      {"name", read_name},
      {"profile", [](const F& f) { f.out.entry.profile = as_string(f.problems, f.node, f.key); }},
      {"token",
       [](const F& f) { f.out.entry.token = read_token_source(f.problems, f.node, f.key); }},
      {"listen",
       [](const F& f) {
         f.out.entry.listen = read_listen(f.problems, f.node, f.key, f.out.places);
       }},
      {"ttl", read_ttl},
      {"limits.connections_max",
       [](const F& f) {
         read_count(f.problems, f.node, f.key, f.out.entry.limits.connections_max, 1, 1'000'000);
       }},
      {"limits.connects_per_second_max",
       [](const F& f) {
         read_count(f.problems, f.node, f.key, f.out.entry.limits.connects_per_second_max, 1,
                    1'000'000);
       }},
      {"env_file.path",
       [](const F& f) { f.out.entry.env_file = as_string(f.problems, f.node, f.key); }},
      {"env_file.format",
       [](const F& f) { f.out.entry.env_format = read_env_format(f.problems, f.node, f.key); }},
      {"dns", in_profile},
  };
  for (std::string_view key :
       {"threads", "tls", "audit", "auth", "metrics", "admin", "sessions", "drain_time", "reload",
        "reload_on_change", "log_level", "via", "socks5"}) {
    keys.push_back({key, whole_proxy});
  }
  for (const Key<SessionFile>& key : settings_keys<SessionFile, settings_of>()) keys.push_back(key);
  return keys;
}

bool says_something(const SessionEntry& entry) {
  const Settings& settings = entry.settings;
  return entry.profile || settings.network_profile || settings.observe ||
         !settings.allow_hosts.empty() || !settings.credentials.empty();
}

// What one entry must be, and what no two may share.
class EntryChecks {
 public:
  explicit EntryChecks(Problems& problems) : problems_(problems) {}

  void check(const YAML::Node& node, const SessionEntry& entry) {
    if (!node["name"].IsDefined()) problems_.at(node, "sessions: a session without a name");
    if (entry.name == "default") {
      problems_.at(node, "name: default is the session that the top of the file describes");
    }
    once(node, names_, entry.name, "name");
    if (entry.token) once(node, tokens_, *entry.token, "token");
    if (entry.env_file) once(node, env_files_, *entry.env_file, "env_file");
    if (entry.env_format && !entry.env_file) {
      problems_.at(node, "sessions: env_file.format without env_file.path");
    }
    if (!says_something(entry)) {
      problems_.at(node, fmt::format("sessions: nothing says what {} may reach; give it a profile, "
                                     "network or credentials",
                                     entry.name.empty() ? "it" : entry.name));
    }
  }

 private:
  void once(const YAML::Node& node, std::map<std::string, std::string>& seen,
            const std::string& value, std::string_view key) {
    if (value.empty()) return;
    const auto [first, fresh] = seen.emplace(value, problems_.place(node));
    if (fresh) return;
    problems_.at(node, fmt::format("sessions: {} {} is that of the session at {} as well", key,
                                   value, first->second));
  }

  Problems& problems_;
  std::map<std::string, std::string> names_, tokens_, env_files_;
};

}  // namespace

const std::vector<Key<SessionFile>>& session_keys() {
  static const std::vector<Key<SessionFile>> table = make_session_keys();
  return table;
}

void read_sessions(const Field<ProxyFile>& f) {
  if (!is_list(f.problems, f.node, f.key)) return;
  EntryChecks checks(f.problems);
  for (const YAML::Node& item : f.node) {
    if (!is_map(f.problems, item, f.key)) continue;
    SessionFile file;
    SchemaReader<SessionFile>(f.problems, session_keys(), file).read(item);
    file.entry.origin = f.problems.origin(item);
    checks.check(item, file.entry);
    for (ListenPlace& place : file.places) {
      place.owner = "session " + file.entry.name;
      f.out.places.push_back(std::move(place));
    }
    f.out.config.sessions.push_back(std::move(file.entry));
  }
}

}  // namespace document
}  // namespace nono
