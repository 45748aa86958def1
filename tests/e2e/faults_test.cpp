// Upstreams that fail, stall, trickle and lie: the client is told, or sees that it was cut off, and
// never takes a part for the whole.

#include "tests/e2e/mistreat.hpp"

namespace nono::testing {
namespace {

TEST_CASE("an upstream that resets within a body leaves a body that is visibly cut") {
  mistreat("faults.py", "reset_mid_body");
}

TEST_CASE("an upstream that closes without an answer is a 502, and a POST is not sent twice") {
  mistreat("faults.py", "no_answer");
}

TEST_CASE("an upstream that stalls is a 504 in time") {
  mistreat("faults.py", "stalls");
}

TEST_CASE("an upstream that trickles is waited for") {
  mistreat("faults.py", "trickles");
}

TEST_CASE("an upstream that lies about its length poisons no other answer") {
  mistreat("faults.py", "lies_about_length");
}

TEST_CASE("an upstream that answers with garbage is a 502") {
  mistreat("faults.py", "garbage_answers");
}

TEST_CASE("an upstream whose head, interim answers or chunk extensions never end is cut off") {
  mistreat("faults.py", "heads_without_end");
}

TEST_CASE("when a client leaves within its upload the upstream is told") {
  mistreat("faults.py", "client_leaves_mid_upload");
}

TEST_CASE("when a client leaves within a download, or while it waits, the upstream is told") {
  mistreat("faults.py", "client_leaves_mid_download");
}

TEST_CASE("tunnels end as their ends do: by reset, half-close, silence or refusal") {
  mistreat("faults.py", "tunnels_that_break");
}

}  // namespace
}  // namespace nono::testing
