// What passes between the sandbox's processes and their parent.

#include "sandbox/linux/channel.hpp"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <csignal>

using namespace nono;
using namespace nono::sandbox;

TEST_CASE("what a process of the sandbox said last is heard though it left a request unread") {
  auto [ours, theirs] = make_channel();
  REQUIRE(send_request(ours.get(), Request::Kind::signal, SIGWINCH));
  Report report;
  report.kind = Report::Kind::exited;
  report.status = 6 << 8;
  REQUIRE(send_report(theirs.get(), report));
  theirs.reset();
  const std::optional<Report> heard = receive_report(ours.get(), MSG_DONTWAIT);
  REQUIRE(heard);
  CHECK(heard->status == 6 << 8);
  CHECK_FALSE(receive_report(ours.get(), MSG_DONTWAIT));
}
