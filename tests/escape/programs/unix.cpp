// Unix sockets of the host's, although their files may be looked at and written.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

struct Place {
  sockaddr_un address = {};
  socklen_t size = 0;
};

Place place_of(const std::string& path) {
  Place place;
  place.address.sun_family = AF_UNIX;
  path.copy(place.address.sun_path, sizeof place.address.sun_path - 1);
  place.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return place;
}

Place abstract_place_of(const std::string& name) {
  Place place = place_of(std::string(1, '\0') + name);
  --place.size;  // no null byte at the end
  return place;
}

Outcome reach(int type, const Place& place, const std::string& message) {
  const UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  return connect_and_tell(socket, generic(place.address), place.size, message);
}

Outcome stream(const Attempt& attempt) {
  return reach(SOCK_STREAM, place_of(attempt.where.text("unix-stream")), attempt.message);
}
Outcome datagram(const Attempt& attempt) {
  return reach(SOCK_DGRAM, place_of(attempt.where.text("unix-dgram")), attempt.message);
}
Outcome seqpacket(const Attempt& attempt) {
  return reach(SOCK_SEQPACKET, place_of(attempt.where.text("unix-seqpacket")), attempt.message);
}
Outcome abstract(const Attempt& attempt) {
  return reach(SOCK_STREAM, abstract_place_of(attempt.where.text("abstract-stream")),
               attempt.message);
}
Outcome abstract_datagram(const Attempt& attempt) {
  return reach(SOCK_DGRAM, abstract_place_of(attempt.where.text("abstract-dgram")),
               attempt.message);
}

Outcome by_link(const Attempt& attempt) {
  const std::string link = "link-to-socket";
  ::unlink(link.c_str());
  if (::symlink(attempt.where.text("unix-stream").c_str(), link.c_str()) != 0) {
    return blocked("symlink");
  }
  return reach(SOCK_STREAM, place_of(link), attempt.message);
}

Outcome by_descriptor(const Attempt& attempt) {
  const UniqueFd path(::open(attempt.where.text("unix-stream").c_str(), O_PATH | O_CLOEXEC));
  if (!path) return blocked("open the path");
  return reach(SOCK_STREAM, place_of("/proc/self/fd/" + std::to_string(path.get())),
               attempt.message);
}

Outcome by_hard_link(const Attempt& attempt) {
  const std::string link = "hard-link-to-socket";
  ::unlink(link.c_str());
  if (::link(attempt.where.text("unix-stream").c_str(), link.c_str()) != 0) return blocked("link");
  return reach(SOCK_STREAM, place_of(link), attempt.message);
}

// One end of a pair, pointed elsewhere.
Outcome by_pair(const Attempt& attempt) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0) return blocked("socketpair");
  const UniqueFd first(ends[0]);
  const UniqueFd second(ends[1]);
  const Place place = place_of(attempt.where.text("unix-dgram"));
  if (::sendto(first.get(), attempt.message.data(), attempt.message.size(), 0,
               generic(place.address), place.size) < 0) {
    return blocked("sendto");
  }
  return reached("sent");
}

// The same with the kinds of pair that the sandbox allows: taken apart and connected anew.
Outcome by_stream_pair(const Attempt& attempt) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return blocked("socketpair");
  }
  const UniqueFd first(ends[0]);
  UniqueFd second(ends[1]);
  second.reset();
  sockaddr nowhere = {};
  nowhere.sa_family = AF_UNSPEC;
  ::connect(first.get(), &nowhere, sizeof nowhere);
  const Place place = place_of(attempt.where.text("unix-stream"));
  return connect_and_tell(first, generic(place.address), place.size, attempt.message);
}

// A socket file of its own in a shared folder, for someone outside to come in by.
Outcome listens(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return blocked("socket");
  (void)attempt;
  const Place place = place_of("own-socket");
  ::unlink("own-socket");
  if (::bind(socket.get(), generic(place.address), place.size) != 0) return blocked("bind");
  if (::listen(socket.get(), 1) != 0) return blocked("listen");
  return reached("listens");
}

}  // namespace

Family unix_family() {
  return {
      {"unix-stream", Proof::hit, stream},
      {"unix-dgram", Proof::hit, datagram},
      {"unix-seqpacket", Proof::hit, seqpacket},
      {"unix-by-link", Proof::hit, by_link},
      {"unix-by-hard-link", Proof::hit, by_hard_link},
      {"unix-by-descriptor", Proof::hit, by_descriptor},
      {"unix-by-pair", Proof::hit, by_pair},
      {"unix-by-stream-pair", Proof::hit, by_stream_pair, "stream pairs that connect anew"},
      {"unix-listens", Proof::word, listens},
      {"abstract-stream", Proof::hit, abstract},
      {"abstract-dgram", Proof::hit, abstract_datagram},
  };
}

}  // namespace escape
