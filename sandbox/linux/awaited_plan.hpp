#pragma once
// The plan for processes that were begun before there was one (ahead.hpp).

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/fd.hpp"
#include "sandbox/linux/prepared.hpp"

namespace nono::sandbox {

// What L, I and C need of it, as bytes for a process that runs the same program.
std::string to_bytes(const Prepared& prepared);
// Fills in `plan` and `prepared`, which refers to it. False: these are not such bytes.
bool from_bytes(std::string_view bytes, SandboxPlan& plan, Prepared& prepared);

// Memory that P shares with what it forks, and a pipe whose end says that the plan is there.
class PlanLine {
 public:
  // None: errno says why.
  static std::optional<PlanLine> make();
  void be_teller() { hears_.reset(); }
  // P, once. False: it is too long.
  bool tell(std::string_view plan);
  void give_up() { tells_.reset(); }  // P: there will be none
  // P, at any time before that, and L, not after it has heard.
  void know_every_port() const;
  bool knows_every_port() const;
  // In L and I, each for itself, once. Blocks. Nothing where P has ended.
  std::string hear();
  int hears_fd() const { return hears_.get(); }

 private:
  struct Unmap {
    void operator()(char* memory) const;
  };
  std::unique_ptr<char, Unmap> memory_;  // what is known, the plan's size, and the plan
  UniqueFd tells_;
  UniqueFd hears_;
};

// In L and I: the plan that is still to come.
class AwaitedPlan {
 public:
  explicit AwaitedPlan(PlanLine& line);
  // Until then: what is the same in every plan that is told.
  const SandboxPlan& plan() const { return plan_; }
  // Notes in it what P said before it had one.
  void look() { plan_.capture.every_port_known = line_.knows_every_port(); }
  // Blocks until P has said what to do. False: it will not any more. That a terminal stopped and
  // continued P meanwhile is forgotten: there was no command.
  bool wait(Prepared& prepared);
  int hears_fd() const { return line_.hears_fd(); }

 private:
  PlanLine& line_;
  SandboxPlan plan_;
};

// Whether it is a plan such as processes begun ahead expect: a network of its own with a proxy, and
// nothing that has to be there before the namespaces are.
bool is_usual(const Prepared& prepared);

}  // namespace nono::sandbox
