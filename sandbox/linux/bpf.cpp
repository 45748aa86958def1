#include "sandbox/linux/bpf.hpp"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>

namespace nono::sandbox {
namespace {

constexpr bool little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

}  // namespace

void BpfAssembler::load_architecture() {
  code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
}

void BpfAssembler::load_number() {
  code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
}

void BpfAssembler::load_low_word(unsigned argument) {
  auto offset = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8U * argument);
  if (!little_endian) offset += 4;
  code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

void BpfAssembler::mask(std::uint32_t bits) {
  code_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits));
}

void BpfAssembler::give(std::uint32_t action) {
  code_.push_back(BPF_STMT(BPF_RET | BPF_K, action));
}

void BpfAssembler::test(std::uint16_t code, std::uint32_t value, std::uint8_t if_true,
                        std::uint8_t if_false) {
  auto full = static_cast<std::uint16_t>(BPF_JMP | BPF_K | code);
  code_.push_back(BPF_JUMP(full, value, if_true, if_false));
}

void BpfAssembler::give_if_equal(std::uint32_t value, std::uint32_t action) {
  test(BPF_JEQ, value, 0, 1);
  give(action);
}

void BpfAssembler::give_unless_equal(std::uint32_t value, std::uint32_t action) {
  test(BPF_JEQ, value, 1, 0);
  give(action);
}

void BpfAssembler::give_if_at_least(std::uint32_t value, std::uint32_t action) {
  test(BPF_JGE, value, 0, 1);
  give(action);
}

void BpfAssembler::give_if_any_bit(std::uint32_t bits, std::uint32_t action) {
  test(BPF_JSET, bits, 0, 1);
  give(action);
}

void BpfAssembler::give_by_value(std::vector<Case> cases) {
  std::sort(cases.begin(), cases.end(),
            [](const Case& a, const Case& b) { return a.value < b.value; });
  std::vector<std::size_t> misses;
  if (!cases.empty()) search(cases, 0, cases.size(), misses);
  for (std::size_t miss : misses) {
    code_[miss].k = static_cast<std::uint32_t>(code_.size() - miss - 1);
  }
}

void BpfAssembler::search(const std::vector<Case>& cases, std::size_t first, std::size_t last,
                          std::vector<std::size_t>& misses) {
  if (last - first == 1) {
    give_if_equal(cases[first].value, cases[first].action);
    misses.push_back(code_.size());
    code_.push_back(BPF_STMT(BPF_JMP | BPF_JA, 0));
    return;
  }
  std::size_t middle = first + (last - first) / 2;
  std::size_t branch = code_.size();
  test(BPF_JGE, cases[middle].value, 0, 0);
  search(cases, first, middle, misses);
  std::size_t skip = code_.size() - branch - 1;
  if (skip > 255) throw std::length_error("a table of a seccomp filter is too long to jump over");
  code_[branch].jt = static_cast<std::uint8_t>(skip);
  search(cases, middle, last, misses);
}

// Each test but the last jumps over its successors when true; the last skips the block when false.
std::size_t BpfAssembler::begin_block(std::initializer_list<std::uint32_t> values) {
  std::size_t left = values.size();
  for (std::uint32_t value : values) {
    --left;
    test(BPF_JEQ, value, static_cast<std::uint8_t>(left), 0);
  }
  return code_.size();
}

void BpfAssembler::end_block(std::size_t after_tests) {
  std::size_t length = code_.size() - after_tests;
  if (length > 250) throw std::length_error("a block of a seccomp filter is too long to jump over");
  code_[after_tests - 1].jf = static_cast<std::uint8_t>(length);
}

}  // namespace nono::sandbox
