#pragma once
// OnExit: runs a closure on every way out of a scope.

#include <utility>

namespace nono {

template <class F>
class OnExit {
 public:
  explicit OnExit(F action) : action_(std::move(action)) {}
  OnExit(const OnExit&) = delete;
  OnExit& operator=(const OnExit&) = delete;
  ~OnExit() {
    if (armed_) action_();
  }
  void dismiss() { armed_ = false; }

 private:
  F action_;
  bool armed_ = true;
};

}  // namespace nono
