#pragma once
// Runs a seccomp filter in user space, as the kernel would: no jump backwards, every path returns.

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace nono::sandbox::test {

inline std::uint32_t interpret(const std::vector<sock_filter>& code, const seccomp_data& data) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const sock_filter& op = code[at];
    bool taken = false;
    switch (op.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (op.k % 4 != 0 || op.k + 4 > sizeof data) throw std::logic_error("load out of range");
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + op.k, 4);
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= op.k;
        continue;
      case BPF_RET | BPF_K:
        return op.k;
      case BPF_JMP | BPF_JA:
        at += op.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = accumulator == op.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = accumulator >= op.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        taken = (accumulator & op.k) != 0;
        break;
      default:
        throw std::logic_error("an instruction that the filter should not use");
    }
    at += taken ? op.jt : op.jf;
  }
  throw std::logic_error("the filter ran past its end");
}

}  // namespace nono::sandbox::test
