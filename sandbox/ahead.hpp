#pragma once
// The sandbox's own processes, begun while the caller still decides what they are to do.

#include <memory>

namespace nono::sandbox {

// A first process that makes namespaces and their network before there is a plan, and waits for
// one, as does the sandbox's pid 1. Where the plan is not one for it start() begins anew. It ends
// with this process.
class Ahead {
 public:
  class Begun;  // of the platform
  Ahead();      // nothing is begun
  // Forks: call while the process has one thread and nothing secret in memory. The command gets the
  // signal mask and dispositions of this call.
  static Ahead begin();
  // Capture::every_port_known will be set in the plan. Said early enough it is of use.
  void know_every_port() const;
  Ahead(Ahead&& other) noexcept;
  Ahead& operator=(Ahead&& other) noexcept;
  ~Ahead();  // ends what is begun, at once

  const Begun* begun() const { return begun_.get(); }
  std::unique_ptr<Begun> take();

 private:
  std::unique_ptr<Begun> begun_;
};

}  // namespace nono::sandbox
