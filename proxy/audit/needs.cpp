#include "proxy/audit/needs.hpp"

#include <charconv>

#include "config/base/permit.hpp"
#include "proxy/audit/line_reader.hpp"

namespace nono::audit {

namespace {

// Takes a flat JSON object apart.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool take(char wanted) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  bool at_end() {
    skip_blanks();
    return at_ == text_.size();
  }
  bool string(std::string& out) {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return false;
      }
    }
    return false;
  }
  bool value(std::string& out) {
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '"') return string(out);
    const std::size_t end = text_.find_first_of(",} \t\"{[", at_);
    if (end == std::string_view::npos || end == at_) return false;
    out = text_.substr(at_, end - at_);
    at_ = end;
    return true;
  }

 private:
  bool escape(std::string& out) {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meant = "\"\\/\b\f\n\r\t";
    if (const std::size_t known = names.find(c); known != std::string_view::npos) {
      out += meant[known];
      return true;
    }
    unsigned code = 0;
    if (c != 'u' || text_.size() - at_ < 4) return false;
    const auto read = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    if (read.ptr != text_.data() + at_ + 4) return false;
    at_ += 4;
    out += code < 256 ? static_cast<char>(code) : '?';  // nono writes no others
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void note(std::set<std::string>& set, std::string_view text) {
  if (!text.empty() && set.size() < HostUse::listed_max) set.emplace(text);
}

void add_decision(HostUse& use, const Fields& fields) {
  const std::string_view reason = fields.get("reason");
  if (fields.get("decision") != "allow") {
    ++use.refused;
    note(use.reasons, reason);
    return;
  }
  const bool observed = reason == to_string(Reason::observed);
  ++(observed ? use.observed : use.allowed);
  const std::string_view rule = fields.get("rule");
  if (reason == to_string(Reason::credential_route)) {
    constexpr std::string_view word = "credential ";
    note(use.credentials, rule.starts_with(word) ? rule.substr(word.size()) : rule);
    return;
  }
  use.by_credential_only = false;
  note(use.rules, rule);
}

void add_end(HostUse& use, const Fields& fields) {
  use.bytes_to_upstream += fields.number("bytes_to_upstream");
  use.bytes_to_client += fields.number("bytes_to_client");
  const std::string_view reason = fields.get("reason");
  if (reason == to_string(Reason::private_address) || reason == to_string(Reason::rule_denies) ||
      reason == to_string(Reason::always_denied)) {
    ++use.refused;
    ++use.failed;
    note(use.reasons, reason);
  } else if (reason == to_string(Reason::upstream_failed)) {
    ++use.failed;
  } else {
    note(use.addresses, fields.get("address"));
  }
}

void add_line(Needs& needs, const Fields& fields) {
  const std::string_view kind = fields.get("kind");
  const std::string_view host = fields.get("host");
  const bool decision = kind == "decision";
  if (host.empty() || (!decision && kind != "end")) return;
  const std::uint64_t port = fields.number("port");
  if (port > 65'535) return;
  const auto key = std::make_pair(std::string(host), static_cast<std::uint16_t>(port));
  if (needs.hosts.size() >= Needs::hosts_max && !needs.hosts.contains(key)) {
    needs.complete = false;
    return;
  }
  HostUse& use = needs.hosts[key];
  decision ? add_decision(use, fields) : add_end(use, fields);
}

}  // namespace

bool Fields::parse(std::string_view line) {
  fields_.clear();
  Scanner scanner(line);
  if (!scanner.take('{')) return false;
  if (scanner.take('}')) return scanner.at_end();
  do {
    auto& [key, value] = fields_.emplace_back();
    if (!scanner.string(key) || !scanner.take(':') || !scanner.value(value)) return false;
  } while (scanner.take(','));
  return scanner.take('}') && scanner.at_end();
}

std::string_view Fields::get(std::string_view key) const {
  for (const auto& [name, value] : fields_) {
    if (name == key) return value;
  }
  return {};
}

std::uint64_t Fields::number(std::string_view key) const {
  const std::string_view text = get(key);
  std::uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? value : 0;
}

Result<Needs> read_needs(const std::vector<std::string>& files) {
  Needs needs;
  Fields fields;
  for (const std::string& file : files) {
    Result<LineReader> reader = LineReader::open(file);
    if (!reader) return fail(reader.error());
    while (true) {
      std::string_view line;
      const LineReader::Step step = reader->next(line);
      if (step == LineReader::Step::end) break;
      if (step == LineReader::Step::failed) return fail(reader->error());
      ++needs.lines;
      if (step != LineReader::Step::line || !fields.parse(line)) {
        ++needs.unreadable;
      } else {
        add_line(needs, fields);
      }
    }
  }
  return needs;
}

}  // namespace nono::audit
