#pragma once
// What a process that holds keys and many connections asks of the kernel.

namespace nono::cli {

// No core dumps, no reading of our memory by others of the same user (prctl(2), PR_SET_DUMPABLE),
// and as many descriptors as the hard limit allows. After the fork of a sandbox: its child keeps
// the user's.
void harden_process();

}  // namespace nono::cli
