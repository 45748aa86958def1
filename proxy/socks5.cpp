#include "proxy/socks5.hpp"

namespace nono::socks5 {

namespace {

constexpr std::uint8_t password_version = 1;
constexpr std::uint8_t command_connect = 1;
constexpr std::uint8_t type_v4 = 1, type_name = 3, type_v6 = 4;

std::uint8_t octet(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

tl::unexpected<Error> bad(std::string what) {
  return fail(ErrorCode::bad_request, "SOCKS5: " + std::move(what), {}, Side::client);
}

template <std::size_t size>
std::array<std::uint8_t, size> octets(std::string_view bytes) {
  std::array<std::uint8_t, size> out{};
  for (std::size_t at = 0; at < size; ++at) out[at] = octet(bytes, at);
  return out;
}

// Where the address ends, counted from the start of the request; nothing while that is not known.
std::optional<std::size_t> address_end(std::string_view bytes, std::uint8_t type) {
  constexpr std::size_t start = 4;
  if (type == type_v4) return start + 4;
  if (type == type_v6) return start + 16;
  if (bytes.size() <= start) return {};
  return start + 1 + octet(bytes, start);
}

}  // namespace

Result<std::optional<Greeting>> parse_greeting(std::string_view bytes) {
  if (!bytes.empty() && bytes.front() != version) return bad("not version 5");
  if (bytes.size() < 2) return std::optional<Greeting>();
  const std::size_t count = octet(bytes, 1);
  if (count == 0) return bad("no authentication method is offered");
  if (bytes.size() < 2 + count) return std::optional<Greeting>();
  Greeting greeting;
  greeting.size = 2 + count;
  const std::string_view methods = bytes.substr(2, count);
  greeting.offers_none = methods.find(static_cast<char>(Method::none)) != methods.npos;
  greeting.offers_password = methods.find(static_cast<char>(Method::password)) != methods.npos;
  return std::optional<Greeting>(greeting);
}

Result<std::optional<Password>> parse_password(std::string_view bytes) {
  if (!bytes.empty() && octet(bytes, 0) != password_version) {
    return bad("not version 1 of the password negotiation");
  }
  if (bytes.size() < 2) return std::optional<Password>();
  const std::size_t user_size = octet(bytes, 1);
  const std::size_t password_at = 2 + user_size + 1;
  if (bytes.size() < password_at) return std::optional<Password>();
  const std::size_t password_size = octet(bytes, password_at - 1);
  if (bytes.size() < password_at + password_size) return std::optional<Password>();
  Password password;
  password.size = password_at + password_size;
  password.user = bytes.substr(2, user_size);
  password.password = bytes.substr(password_at, password_size);
  return std::optional<Password>(password);
}

Result<std::optional<Request>> parse_request(std::string_view bytes) {
  if (!bytes.empty() && bytes.front() != version) return bad("not version 5");
  if (bytes.size() < 4) return std::optional<Request>();
  Request request;
  request.is_connect = octet(bytes, 1) == command_connect;
  const std::uint8_t type = octet(bytes, 3);
  if (type != type_v4 && type != type_v6 && type != type_name) {
    request.size = bytes.size();  // where it ends cannot be known
    return std::optional<Request>(request);
  }
  const std::optional<std::size_t> end = address_end(bytes, type);
  if (!end || bytes.size() < *end + 2) return std::optional<Request>();
  request.size = *end + 2;
  const std::uint16_t port =
      static_cast<std::uint16_t>(octet(bytes, *end) << 8 | octet(bytes, *end + 1));
  if (port == 0) return std::optional<Request>(request);
  const std::string_view address = bytes.substr(4, *end - 4);
  if (type == type_name) {
    auto host = parse_host(address.substr(1));
    if (!host) return bad("the host: " + host.error().what);
    request.target = HostPort{std::move(*host), Port(port)};
  } else {
    const IpAddress parsed =
        type == type_v4 ? IpAddress::v4(octets<4>(address)) : IpAddress::v6(octets<16>(address));
    request.target = HostPort{parsed, Port(port)};
  }
  return std::optional<Request>(std::move(request));
}

std::string method_answer(Method method) {
  return {version, static_cast<char>(method)};
}

std::string password_answer(bool right) {
  return {static_cast<char>(password_version), static_cast<char>(right ? 0 : 1)};
}

std::string reply_answer(Reply reply) {
  return {version, static_cast<char>(reply), 0, type_v4, 0, 0, 0, 0, 0, 0};
}

}  // namespace nono::socks5
