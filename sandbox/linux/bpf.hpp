#pragma once
// A small assembler for the classic BPF of seccomp filters: straight-line tests on the accumulator,
// each with an early return. Written by hand because libseccomp cannot compare the low word of an
// argument alone, which is what the kernel uses of an int (TIOCSTI with junk in the high half).

#include <linux/filter.h>

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace nono::sandbox {

class BpfAssembler {
 public:
  void load_architecture();
  void load_number();                     // the system call's number
  void load_low_word(unsigned argument);  // the low 32 bits of one of the six arguments
  void mask(std::uint32_t bits);          // accumulator &= bits

  struct Case {
    std::uint32_t value;
    std::uint32_t action;
  };
  // Returns the action of the case that the accumulator equals, and goes on when it equals none. A
  // binary search: the kernel runs the filter once per system call number when it is installed, and
  // on each call whose arguments matter. The values must differ from each other.
  void give_by_value(std::vector<Case> cases);

  void give(std::uint32_t action);  // return it
  void give_if_equal(std::uint32_t value, std::uint32_t action);
  void give_unless_equal(std::uint32_t value, std::uint32_t action);
  void give_if_at_least(std::uint32_t value, std::uint32_t action);
  void give_if_any_bit(std::uint32_t bits, std::uint32_t action);

  // Runs `body` when the accumulator equals one of the values. The body must return on each of its
  // ways, since it changes the accumulator; at most 250 instructions.
  template <class Body>
  void when_one_of(std::initializer_list<std::uint32_t> values, Body body) {
    std::size_t after_tests = begin_block(values);
    body();
    end_block(after_tests);
  }

  std::vector<sock_filter> take() { return std::move(code_); }

 private:
  // Emits the search of cases [first, last); each miss is a jump that is noted to be aimed later.
  void search(const std::vector<Case>& cases, std::size_t first, std::size_t last,
              std::vector<std::size_t>& misses);
  std::size_t begin_block(std::initializer_list<std::uint32_t> values);
  void end_block(std::size_t after_tests);
  void test(std::uint16_t code, std::uint32_t value, std::uint8_t if_true, std::uint8_t if_false);

  std::vector<sock_filter> code_;
};

}  // namespace nono::sandbox
