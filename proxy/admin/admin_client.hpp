#pragma once
// The command line's end of the admin socket: one blocking request at a time.

#include <chrono>
#include <string>
#include <string_view>

#include "config/base/error.hpp"

namespace nono::admin {

struct Reply {
  int status = 0;
  std::string type;  // media type
  std::string body;
};

class AdminClient {
 public:
  // `time_max` bounds each request: a session may wait for a key that a helper program fetches.
  explicit AdminClient(std::string socket_path,
                       std::chrono::milliseconds time_max = std::chrono::minutes(2))
      : path_(std::move(socket_path)), time_max_(time_max) {}

  // Asks, and gives whatever was answered. Errors say what to do: no proxy listens there, the
  // socket is another user's, the answer did not come in time or cannot be read.
  Result<Reply> ask(std::string_view method, std::string_view target, std::string_view body = {});

  // As ask(), but an answer other than 2xx is an error with the problem's own words.
  Result<std::string> must(std::string_view method, std::string_view target,
                           std::string_view body = {});

 private:
  std::string path_;
  std::chrono::milliseconds time_max_;
};

}  // namespace nono::admin
