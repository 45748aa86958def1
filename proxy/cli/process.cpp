#include "proxy/cli/process.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace nono::cli {

// Each is worth having without the others, and none is what safety rests on alone, so failures
// pass.
void harden_process() {
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &files);
  }
}

}  // namespace nono::cli
