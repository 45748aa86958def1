// Clients that dribble, flood, babble and stay: the proxy lives, serves the others, and gives back
// what it held.

#include "tests/e2e/mistreat.hpp"

namespace nono::testing {
namespace {

TEST_CASE("a thousand clients that dribble their heads cost little and stop nobody") {
  mistreat("abuse.py", "slow_heads");
}

TEST_CASE("a thousand connections that say nothing, or half, are let go") {
  mistreat("abuse.py", "half_open");
}

TEST_CASE("over the limit of connections the answer is 503 and when to try again") {
  mistreat("abuse.py", "connection_limit", 8);
}

TEST_CASE("thousands of pipelined requests are answered in order") {
  mistreat("abuse.py", "pipelined");
}

TEST_CASE("garbage of every kind is refused and reaches no upstream") {
  mistreat("abuse.py", "garbage");
}

TEST_CASE("tunnels that begin with anything but a hello for their host are closed") {
  mistreat("abuse.py", "bad_tunnels");
}

TEST_CASE("clients that ask for much and read nothing cost the proxy its buffers and no more") {
  mistreat("abuse.py", "slow_readers");
}

}  // namespace
}  // namespace nono::testing
