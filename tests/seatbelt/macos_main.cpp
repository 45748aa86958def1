// Linked for macOS by link_check.sh, so that everything it needs is there.

#include "sandbox/plan.hpp"
#include "sandbox/self_check.hpp"

int main() {
  return nono::sandbox::self_check() && nono::sandbox::start({}) ? 0 : 1;
}
