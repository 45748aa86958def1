#include "dns/message.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cstring>

namespace nono::dns {
namespace {

constexpr std::size_t header_size = 12;
constexpr std::size_t name_size_max = 255;  // wire form, root included
constexpr std::size_t label_size_max = 63;
constexpr std::size_t opt_size = 11;
constexpr std::size_t explanation_max = 400;

constexpr std::uint8_t flag_response = 0x80, flag_truncated = 0x02, flag_recursion_desired = 0x01;
constexpr std::uint8_t flag_recursion_available = 0x80, flag_checking_disabled = 0x10;
constexpr std::uint8_t opcode_query = 0;

char to_lower(std::uint8_t c) {
  return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

struct KnownType {
  std::uint16_t type;
  std::string_view name;
};
constexpr KnownType known_types[] = {
    {type_a, "A"},     {2, "NS"},     {5, "CNAME"},        {type_soa, "SOA"},
    {type_ptr, "PTR"}, {15, "MX"},    {16, "TXT"},         {type_aaaa, "AAAA"},
    {33, "SRV"},       {35, "NAPTR"}, {type_opt, "OPT"},   {43, "DS"},
    {48, "DNSKEY"},    {52, "TLSA"},  {type_svcb, "SVCB"}, {type_https, "HTTPS"},
    {252, "AXFR"},     {255, "ANY"},  {257, "CAA"},
};

}  // namespace

std::string type_name(std::uint16_t type) {
  for (const KnownType& known : known_types) {
    if (known.type == type) return std::string(known.name);
  }
  return fmt::format("TYPE{}", type);
}

std::optional<std::string_view> WireName::text(std::array<char, 256>& buffer) const {
  if (size_ == 0) return std::nullopt;
  std::size_t written = 0;
  for (std::size_t at = 0; at < size_;) {
    const std::size_t length = static_cast<std::uint8_t>(bytes_[at++]);
    if (written > 0) buffer[written++] = '.';
    for (std::size_t i = 0; i < length; ++i) {
      if (!is_host_character(bytes_[at + i])) return std::nullopt;
      buffer[written++] = bytes_[at + i];
    }
    at += length;
  }
  return std::string_view(buffer.data(), written);
}

std::string WireName::shown() const {
  if (size_ == 0) return ".";
  std::string text;
  for (std::size_t at = 0; at < size_;) {
    const std::size_t length = static_cast<std::uint8_t>(bytes_[at++]);
    if (!text.empty()) text += '.';
    for (std::size_t i = 0; i < length; ++i) {
      const char c = bytes_[at + i];
      if (is_host_character(c)) {
        text += c;
      } else {
        text += fmt::format("\\{:03}", static_cast<std::uint8_t>(c));
      }
    }
    at += length;
  }
  return text;
}

// Reads forward; everything after a failed read fails too.
class QueryReader {
 public:
  QueryReader(Bytes message, std::size_t at) : message_(message), at_(at) {}

  std::size_t at() const { return at_; }
  bool at_end() const { return at_ == message_.size(); }

  bool read8(std::uint8_t& value) {
    if (left() < 1) return false;
    value = message_[at_++];
    return true;
  }
  bool read16(std::uint16_t& value) {
    if (left() < 2) return false;
    value = static_cast<std::uint16_t>(message_[at_] << 8 | message_[at_ + 1]);
    at_ += 2;
    return true;
  }
  bool skip(std::size_t size) {
    if (left() < size) return false;
    at_ += size;
    return true;
  }

  bool read_name(WireName& name) {
    for (;;) {
      std::uint8_t length = 0;
      if (!read8(length)) return false;
      if (length == 0) return true;
      // 0xc0 is a compression pointer; in a question there is nothing to point at.
      if (length > label_size_max || left() < length) return false;
      if (name.size_ + 1 + length + 1 > name_size_max) return false;
      name.bytes_[name.size_++] = static_cast<char>(length);
      for (std::size_t i = 0; i < length; ++i) {
        name.bytes_[name.size_++] = to_lower(message_[at_ + i]);
      }
      at_ += length;
    }
  }

  // The one additional record that a query may have. `version` is its EDNS version.
  bool read_opt(Query& query, std::uint8_t& version) {
    std::uint8_t owner = 0, extended_rcode = 0;
    std::uint16_t type = 0, flags = 0, size = 0;
    if (!read8(owner) || owner != 0 || !read16(type) || type != type_opt) return false;
    if (!read16(query.payload_max) || !read8(extended_rcode) || !read8(version)) return false;
    if (!read16(flags) || !read16(size) || left() < size) return false;
    const std::size_t end = at_ + size;
    while (at_ < end) {
      std::uint16_t option = 0, option_size = 0;
      if (end - at_ < 4 || !read16(option) || !read16(option_size)) return false;
      if (end - at_ < option_size) return false;
      at_ += option_size;
    }
    query.edns = true;
    return true;
  }

 private:
  std::size_t left() const { return message_.size() - at_; }
  Bytes message_;
  std::size_t at_;
};

ReadQuery read_query(Bytes message, Query& query) {
  query = Query{};
  if (message.size() < header_size || (message[2] & flag_response) != 0) return {};
  query.id = static_cast<std::uint16_t>(message[0] << 8 | message[1]);
  query.opcode = static_cast<std::uint8_t>(message[2] >> 3 & 0x0f);
  query.recursion_desired = (message[2] & flag_recursion_desired) != 0;
  query.checking_disabled = (message[3] & flag_checking_disabled) != 0;
  if (query.opcode != opcode_query) return {Reading::reject, Rcode::not_implemented};

  constexpr ReadQuery malformed{Reading::reject, Rcode::format_error};
  QueryReader reader(message, 4);
  std::uint16_t questions = 0, answers = 0, authorities = 0, additionals = 0;
  reader.read16(questions);
  reader.read16(answers);
  reader.read16(authorities);
  reader.read16(additionals);
  if (questions != 1 || answers != 0 || authorities != 0 || additionals > 1) return malformed;
  if (!reader.read_name(query.name) || !reader.read16(query.type) ||
      !reader.read16(query.asked_class)) {
    return malformed;
  }
  const Bytes question = message.subspan(header_size, reader.at() - header_size);
  std::uint8_t version = 0;
  if (additionals == 1 && !reader.read_opt(query, version)) {
    query.edns = false;
    return malformed;
  }
  if (!reader.at_end()) return malformed;
  query.question = question;
  if (version != 0) return {Reading::reject, Rcode::bad_version};
  if (query.asked_class != class_in) return {Reading::reject, Rcode::refused};
  return {Reading::answer, Rcode::no_error};
}

std::size_t AnswerWriter::limit(const Query& query, bool stream) {
  if (stream) return size_max;
  return std::clamp<std::size_t>(query.payload_max, 512, udp_size_max);
}

AnswerWriter::AnswerWriter(std::span<std::uint8_t> out, const Query& query, Rcode rcode)
    : out_(out), query_(query), rcode_(rcode) {
  const std::size_t reserved = query.edns ? opt_size : 0;
  if (out.size() < header_size + query.question.size() + reserved) return;
  limit_ = out.size() - reserved;
  size_ = header_size;  // written by finish()
  put_bytes(query.question.data(), query.question.size());
  records_at_ = size_;
}

void AnswerWriter::put16(std::uint16_t value) {
  out_[size_++] = static_cast<std::uint8_t>(value >> 8);
  out_[size_++] = static_cast<std::uint8_t>(value & 0xff);
}

void AnswerWriter::put32(std::uint32_t value) {
  put16(static_cast<std::uint16_t>(value >> 16));
  put16(static_cast<std::uint16_t>(value & 0xffff));
}

void AnswerWriter::put_bytes(const void* bytes, std::size_t size) {
  if (size != 0) std::memcpy(out_.data() + size_, bytes, size);
  size_ += size;
}

// Every record's owner is the name asked for, which begins right behind the header.
bool AnswerWriter::begin_record(std::uint16_t type, std::uint32_t ttl_seconds,
                                std::size_t data_size) {
  constexpr std::size_t fixed_size = 12;
  if (truncated_ || records_at_ == 0) return false;
  if (limit_ - size_ < fixed_size + data_size) {
    truncated_ = true;
    return false;
  }
  put16(0xc000 | header_size);
  put16(type);
  put16(class_in);
  put32(ttl_seconds);
  put16(static_cast<std::uint16_t>(data_size));
  return true;
}

void AnswerWriter::add_address(const IpAddress& address, std::uint32_t ttl_seconds) {
  const std::size_t size = address.is_v4() ? 4 : 16;
  if (!begin_record(address.is_v4() ? type_a : type_aaaa, ttl_seconds, size)) return;
  put_bytes(address.bytes().data(), size);
  ++answers_;
}

void AnswerWriter::add_pointer(const HostName& name, std::uint32_t ttl_seconds) {
  std::string_view rest = name.text();
  if (!begin_record(type_ptr, ttl_seconds, rest.size() + 2)) return;
  while (!rest.empty()) {
    const std::string_view label = rest.substr(0, rest.find('.'));
    out_[size_++] = static_cast<std::uint8_t>(label.size());
    put_bytes(label.data(), label.size());
    rest.remove_prefix(std::min(label.size() + 1, rest.size()));
  }
  out_[size_++] = 0;
  ++answers_;
}

void AnswerWriter::add_soa(std::uint32_t ttl_seconds) {
  constexpr std::size_t data_size = 1 + 1 + 5 * 4;
  constexpr std::size_t size = 1 + 2 + 2 + 4 + 2 + data_size;
  if (truncated_ || records_at_ == 0 || limit_ - size_ < size) return;  // the answer stands without
  out_[size_++] = 0;  // owned by the root: below it, anything may be missing
  put16(type_soa);
  put16(class_in);
  put32(ttl_seconds);
  put16(data_size);
  out_[size_++] = 0;  // MNAME and RNAME: there is no such server, and nobody to write to
  out_[size_++] = 0;
  put32(1);
  put32(ttl_seconds);
  put32(ttl_seconds);
  put32(ttl_seconds);
  put32(ttl_seconds);
  ++authorities_;
}

void AnswerWriter::explain(ExtendedError error, std::string_view detail, std::string_view fix) {
  error_ = error;
  error_detail_ = detail;
  error_fix_ = fix;
}

std::size_t AnswerWriter::finish() {
  if (size_ < header_size) return 0;
  if (truncated_) {  // all or nothing: half an answer helps nobody
    size_ = records_at_;
    answers_ = authorities_ = 0;
  }
  if (query_.edns) put_opt();
  const std::size_t end = size_;
  put_header();
  size_ = end;
  return end;
}

void AnswerWriter::put_opt() {
  constexpr std::uint16_t option_code = 15;
  constexpr std::string_view separator = "; ";
  std::array<std::string_view, 3> parts{error_detail_, separator, error_fix_};
  if (error_detail_.empty() || error_fix_.empty()) parts[1] = {};
  // Room for the OPT record itself was kept free; the reason takes what is left.
  std::size_t room = limit_ - size_;
  const bool explained = error_.has_value() && !truncated_ && room >= 6;
  std::size_t text_size = 0;
  if (explained) room -= 6;
  for (std::string_view& part : parts) {
    part = part.substr(0, explained ? std::min(room, explanation_max) - text_size : 0);
    text_size += part.size();
  }
  out_[size_++] = 0;
  put16(type_opt);
  put16(udp_size_max);
  out_[size_++] = static_cast<std::uint8_t>(static_cast<std::uint8_t>(rcode_) >> 4);
  out_[size_++] = 0;  // version
  put16(0);
  put16(static_cast<std::uint16_t>(explained ? 6 + text_size : 0));
  if (!explained) return;
  put16(option_code);
  put16(static_cast<std::uint16_t>(2 + text_size));
  put16(static_cast<std::uint16_t>(*error_));
  for (std::string_view part : parts) put_bytes(part.data(), part.size());
}

void AnswerWriter::put_header() {
  size_ = 0;
  put16(query_.id);
  auto first = static_cast<std::uint8_t>(flag_response | query_.opcode << 3);
  if (truncated_) first |= flag_truncated;
  if (query_.recursion_desired) first |= flag_recursion_desired;
  std::uint8_t second = flag_recursion_available;
  if (query_.checking_disabled) second |= flag_checking_disabled;
  out_[size_++] = first;
  out_[size_++] = static_cast<std::uint8_t>(second | (static_cast<std::uint8_t>(rcode_) & 0x0f));
  put16(query_.question.empty() ? 0 : 1);
  put16(answers_);
  put16(authorities_);
  put16(query_.edns ? 1 : 0);
}

namespace {

// Cuts the first label off; false where there is none.
bool next_label(std::string_view& rest, std::string_view& label) {
  if (rest.empty()) return false;
  label = rest.substr(0, rest.find('.'));
  rest.remove_prefix(std::min(label.size() + 1, rest.size()));
  return !label.empty();
}

template <int Base>
std::optional<std::uint8_t> number(std::string_view text, unsigned max) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text.front() == '0')) return {};
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, Base);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return {};
  return static_cast<std::uint8_t>(value);
}

std::optional<IpAddress> reverse_v4(std::string_view rest) {
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = bytes.size(); i-- > 0;) {
    std::string_view label;
    if (!next_label(rest, label)) return {};
    const std::optional<std::uint8_t> byte = number<10>(label, 255);
    if (!byte) return {};
    bytes[i] = *byte;
  }
  if (!rest.empty()) return {};
  return IpAddress::v4(bytes);
}

std::optional<IpAddress> reverse_v6(std::string_view rest) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t nibble = 32; nibble-- > 0;) {
    std::string_view label;
    if (!next_label(rest, label)) return {};
    const std::optional<std::uint8_t> value = number<16>(label, 15);
    if (!value) return {};
    const auto half = static_cast<std::uint8_t>(nibble % 2 == 0 ? *value << 4 : *value);
    bytes[nibble / 2] = static_cast<std::uint8_t>(bytes[nibble / 2] | half);
  }
  if (!rest.empty()) return {};
  return IpAddress::v6(bytes);
}

}  // namespace

std::optional<IpAddress> reverse_address(std::string_view name_text) {
  constexpr std::string_view v4 = ".in-addr.arpa", v6 = ".ip6.arpa";
  if (name_text.ends_with(v4)) {
    return reverse_v4(name_text.substr(0, name_text.size() - v4.size()));
  }
  if (name_text.ends_with(v6)) {
    return reverse_v6(name_text.substr(0, name_text.size() - v6.size()));
  }
  return {};
}

}  // namespace nono::dns
