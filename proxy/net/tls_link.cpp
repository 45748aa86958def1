#include "proxy/net/tls_link.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace nono {

namespace {

TlsLink& link_behind(BIO* bio) {
  return *static_cast<TlsLink*>(BIO_get_data(bio));
}

// Bytes that were read before TLS began.
int take_leftover(TlsLink& link, char* out, std::size_t size) {
  const std::size_t count = std::min(size, link.leftover.size() - link.leftover_used);
  std::memcpy(out, link.leftover.data() + link.leftover_used, count);
  link.leftover_used += count;
  if (link.leftover_used == link.leftover.size()) {
    link.leftover = std::string();
    link.leftover_used = 0;
  }
  return static_cast<int>(count);
}

int link_read(BIO* bio, char* out, int size) {
  TlsLink& link = link_behind(bio);
  BIO_clear_retry_flags(bio);
  const auto wanted = static_cast<std::size_t>(std::max(size, 0));
  if (!link.leftover.empty()) return take_leftover(link, out, wanted);
  if (link.ended) return 0;
  Readiness& readiness = link.tcp.readiness();
  if (link.tcp.is_open() && !readiness.readable()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const ssize_t count = ::recv(link.tcp.native_handle(), out, wanted, MSG_DONTWAIT);
  if (count < 0) {
    link.saved_errno = errno;
    if (errno == EAGAIN) readiness.is_dry();
    if (errno == EAGAIN || errno == EINTR) BIO_set_retry_read(bio);
    return -1;
  }
  readiness.received(static_cast<std::size_t>(count), wanted);
  link.ended = count == 0;
  return static_cast<int>(count);
}

int link_write(BIO* bio, const char* data, int size) {
  TlsLink& link = link_behind(bio);
  BIO_clear_retry_flags(bio);
  const auto wanted = static_cast<std::size_t>(std::max(size, 0));
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (link.more ? MSG_MORE : 0);
  ssize_t count = 0;
  do {
    count = ::send(link.tcp.native_handle(), data, wanted, flags);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    link.saved_errno = errno;
    if (errno == EAGAIN) BIO_set_retry_write(bio);
    return -1;
  }
  return static_cast<int>(count);
}

long link_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return link_behind(bio).ended ? 1 : 0;
  return 0;
}

struct FreeMethod {
  void operator()(BIO_METHOD* method) const noexcept { BIO_meth_free(method); }
};
using MethodPtr = std::unique_ptr<BIO_METHOD, FreeMethod>;

MethodPtr make_method() {
  MethodPtr method(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nono socket"));
  if (!method) return method;
  BIO_meth_set_read(method.get(), &link_read);
  BIO_meth_set_write(method.get(), &link_write);
  BIO_meth_set_ctrl(method.get(), &link_control);
  return method;
}

}  // namespace

BIO* make_link_bio(TlsLink& link) {
  static const MethodPtr method = make_method();  // a table of functions, the same for every stream
  BIO* bio = method ? BIO_new(method.get()) : nullptr;
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &link);
  BIO_set_init(bio, 1);
  return bio;
}

std::string tls_reason(unsigned long code) {
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown TLS error";
}

}  // namespace nono
