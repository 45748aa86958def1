#pragma once
// glibc's resolver as a client, in this process.

#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <cstdint>
#include <string>
#include <vector>

namespace nono::test {

// glibc's resolver, with our server instead of those of resolv.conf.
class Glibc {
 public:
  explicit Glibc(std::uint16_t port, unsigned long flags = 0,
                 std::uint32_t address = INADDR_LOOPBACK) {
    state_ = {};
    ok_ = ::res_ninit(&state_) == 0;
    state_.nscount = 1;
    state_.nsaddr_list[0].sin_family = AF_INET;
    state_.nsaddr_list[0].sin_port = htons(port);
    state_.nsaddr_list[0].sin_addr.s_addr = htonl(address);
    state_.options |= flags;
    state_.retrans = 5;
    state_.retry = 1;
  }
  ~Glibc() { ::res_nclose(&state_); }
  Glibc(const Glibc&) = delete;
  Glibc& operator=(const Glibc&) = delete;

  // The answer, or nothing where glibc says there is none; `error` is its reason (netdb.h).
  std::vector<std::uint8_t> query(const char* name, int type, int& error) {
    std::vector<std::uint8_t> answer(8192);
    const int size =
        ::res_nquery(&state_, name, ns_c_in, type, answer.data(), static_cast<int>(answer.size()));
    error = size < 0 ? state_.res_h_errno : 0;
    answer.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return answer;
  }
  bool ok() const { return ok_; }

 private:
  struct __res_state state_;
  bool ok_ = false;
};

}  // namespace nono::test
