#pragma once
// What a sandbox with a network of its own needs whatever its plan says, made while the caller
// still decides what the plan is.

#include <utility>

#include "config/base/fd.hpp"

namespace nono::sandbox {

// A process that makes namespaces and their network, for one sandbox to move into (start()). It
// saves time only: where it fails, or the plan is not one for it, the sandbox makes its own. It
// ends with this process, or once the sandbox has what it made.
class Ahead {
 public:
  Ahead() = default;  // nothing is made ahead
  // Forks: call while the process has one thread and nothing secret in memory.
  static Ahead begin();
  Ahead(Ahead&& other) noexcept = default;
  Ahead& operator=(Ahead&& other) noexcept {
    end();
    process_ = std::move(other.process_);
    channel_ = std::move(other.channel_);
    return *this;
  }
  ~Ahead() { end(); }

  bool begun() const { return process_.valid(); }
  int pidfd() const { return process_.get(); }
  int channel() const { return channel_.get(); }  // reports of what is made
  // The sandbox has its own copy: nothing but that keeps the process from ending now.
  void let_go() { channel_.reset(); }
  void end();  // at once, and reaped

 private:
  UniqueFd process_;
  UniqueFd channel_;
};

}  // namespace nono::sandbox
