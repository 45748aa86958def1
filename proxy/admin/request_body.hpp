#pragma once
// A request's body, read whole into memory. Private to proxy/admin.

#include <cstddef>
#include <string>

#include "proxy/http/body.hpp"

namespace nono::admin {

class BodyReader {
 public:
  // The stream's deadline bounds the time. All must outlive the reader.
  BodyReader(ByteStream& stream, http::InputBuffer& in, std::size_t bytes_max)
      : stream_(stream), in_(in), bytes_max_(bytes_max) {}

  // Sends the 100 that the client waits for, then reads. Errors: body_too_large, bad_request,
  // closed, timeout.
  Awaitable<Result<std::string>> read(const http::RequestHead& head);

 private:
  Awaitable<Result<std::string>> read_length(std::size_t length);
  Awaitable<Result<std::string>> read_chunked();
  Awaitable<Result<void>> more();
  Error too_large() const;

  ByteStream& stream_;
  http::InputBuffer& in_;
  std::size_t bytes_max_;
};

}  // namespace nono::admin
