#include "proxy/net/client_hello.hpp"

#include <optional>

namespace nono {

namespace {

constexpr std::uint8_t record_change_cipher_spec = 20;
constexpr std::uint8_t record_alert = 21;
constexpr std::uint8_t record_handshake = 22;
constexpr std::uint8_t record_heartbeat = 24;  // RFC 6520
constexpr std::uint8_t handshake_client_hello = 1;
constexpr std::uint16_t extension_server_name = 0;
constexpr std::uint16_t extension_encrypted_client_hello = 0xfe0d;
constexpr std::size_t record_header_bytes = 5;
constexpr std::size_t record_bytes_max = 16384;  // RFC 8446 5.1
constexpr std::uint8_t version_major = 3;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::size_t number(std::string_view bytes, std::size_t size) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | byte_at(bytes, i);
  return value;
}

// Takes fields off the front of one message; every taker fails when the bytes run out.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::optional<std::string_view> take(std::size_t size) {
    if (bytes_.size() < size) return std::nullopt;
    const std::string_view out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return out;
  }
  // A vector with a length prefix of `prefix` bytes.
  std::optional<std::string_view> take_vector(std::size_t prefix) {
    const auto length = take(prefix);
    return length ? take(number(*length, prefix)) : std::nullopt;
  }

 private:
  std::string_view bytes_;
};

using State = ClientHello::State;

// Whether a server could take this for a TLS connection's beginning, lenient ones too: some let
// alerts pass in front of the hello. Other protocols begin with these octets as well (MySQL's
// packets with their length), so what follows decides. Nothing: the records of a hello begin.
std::optional<State> state_of_beginning(std::string_view bytes) {
  if (bytes.empty()) return State::incomplete;
  const std::uint8_t type = byte_at(bytes, 0);
  if ((type & 0x80) != 0) {
    // A hello in the format of SSL 2, which OpenSSL takes for TLS as well (RFC 5246 E.2): two octets
    // of length, the first bit set.
    if (bytes.size() > 1 && (number(bytes, 2) & 0x7fff) > record_bytes_max) return State::not_tls;
    if (bytes.size() > 2 && byte_at(bytes, 2) != handshake_client_hello) return State::not_tls;
    if (bytes.size() > 3) {
      // It has no room for a name.
      return byte_at(bytes, 3) == version_major ? State::complete : State::not_tls;
    }
    return State::incomplete;
  }
  if (type < record_change_cipher_spec || type > record_heartbeat) return State::not_tls;
  if (bytes.size() < 2) return State::incomplete;
  const std::uint8_t major = byte_at(bytes, 1);
  if (major == version_major) {
    if (type == record_handshake) return std::nullopt;
    return State::malformed;
  }
  // Some servers take a first record of any version for TLS.
  if (type != record_handshake && type != record_alert) return State::not_tls;
  if (bytes.size() < record_header_bytes) return State::incomplete;
  const std::size_t size = number(bytes.substr(3), 2);
  if (type == record_alert) return size == 2 ? State::malformed : State::not_tls;
  if (size == 0) return State::malformed;
  if (bytes.size() == record_header_bytes) return State::incomplete;
  const bool hello = byte_at(bytes, record_header_bytes) == handshake_client_hello;
  return hello ? State::malformed : State::not_tls;
}

// The handshake message inside the records, without its header; complete once it is whole.
State gather(std::string_view bytes, std::string& message) {
  std::string handshake;
  while (!bytes.empty()) {
    if (byte_at(bytes, 0) != record_handshake) return State::malformed;
    if (bytes.size() >= 2 && byte_at(bytes, 1) != version_major) return State::malformed;
    if (bytes.size() < record_header_bytes) return State::incomplete;
    const std::size_t size = number(bytes.substr(3), 2);
    if (size == 0 || size > record_bytes_max) return State::malformed;
    bytes.remove_prefix(record_header_bytes);
    handshake += bytes.substr(0, size);
    if (handshake.empty()) return State::incomplete;
    if (byte_at(handshake, 0) != handshake_client_hello) return State::malformed;
    if (handshake.size() >= 4) {
      const std::size_t length = number(std::string_view(handshake).substr(1), 3);
      if (handshake.size() >= 4 + length) {
        message = handshake.substr(4, length);
        return State::complete;
      }
    }
    if (bytes.size() < size) return State::incomplete;
    bytes.remove_prefix(size);
  }
  return State::incomplete;
}

bool read_server_name(std::string_view extension, std::string& out) {
  Reader list_reader(extension);
  const auto list = list_reader.take_vector(2);
  if (!list || !list_reader.empty()) return false;
  Reader names(*list);
  const auto type = names.take(1);
  const auto name = names.take_vector(2);
  // One host_name, and nothing else: RFC 6066 forbids several of a type and defines no other.
  if (!type || !name || byte_at(*type, 0) != 0 || name->empty() || !names.empty()) return false;
  out = *name;
  return true;
}

bool read_extensions(std::string_view bytes, ClientHello& hello) {
  Reader reader(bytes);
  bool named = false;
  while (!reader.empty()) {
    const auto type = reader.take(2);
    const auto body = reader.take_vector(2);
    if (!type || !body) return false;
    const std::size_t extension = number(*type, 2);
    if (extension == extension_server_name) {
      if (named || !read_server_name(*body, hello.server_name)) return false;
      named = true;
    }
    if (extension == extension_encrypted_client_hello) hello.encrypted_hello = true;
  }
  return true;
}

bool read_hello(std::string_view message, ClientHello& hello) {
  Reader reader(message);
  const bool fixed = reader.take(2) && reader.take(32) && reader.take_vector(1) &&
                     reader.take_vector(2) && reader.take_vector(1);
  if (!fixed) return false;
  if (reader.empty()) return true;  // a hello without extensions
  const auto extensions = reader.take_vector(2);
  return extensions && reader.empty() && read_extensions(*extensions, hello);
}

}  // namespace

ClientHello parse_client_hello(std::string_view bytes) {
  ClientHello hello;
  if (const std::optional<State> known = state_of_beginning(bytes)) {
    hello.state = *known;
    return hello;
  }
  std::string message;
  hello.state = gather(bytes, message);
  if (hello.state == State::complete && !read_hello(message, hello)) {
    hello.state = State::malformed;
  }
  return hello;
}

}  // namespace nono
