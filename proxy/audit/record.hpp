#pragma once
// One decision or one end of a connection, as a line of the audit log tells it. Holds no secret by
// type: names and numbers only, paths without their query.

#include <chrono>
#include <cstdint>
#include <string>

#include "config/base/permit.hpp"

namespace nono::audit {

enum class Kind : std::uint8_t { decision, end, note };
enum class Way : std::uint8_t { connect, forward, reverse, intercept, captured, dns, admin, socks5, inbound };

struct Record {
  Kind kind = Kind::decision;
  std::chrono::system_clock::time_point time;
  std::string session;           // its name
  std::uint64_t connection = 0;  // joins an end to its decision
  Way way = Way::connect;
  bool allowed = false;
  Because because;
  std::string host;  // as judged
  std::uint16_t port = 0;
  std::string method, path;  // for requests that can be read; no query
  std::string credential;    // by name, where one was used
  std::string address;       // dialled
  int status = 0;            // answered to the client, where HTTP was spoken
  std::string detail;        // the refusal's or error's sentence
  // end only
  std::uint64_t bytes_to_upstream = 0, bytes_to_client = 0;
  std::chrono::microseconds duration{0};
};

}  // namespace nono::audit
