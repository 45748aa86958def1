// What processes share beside files and sockets: memory segments, queues, keys.

#include <fcntl.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

Outcome read_segment(int id) {
  const void* memory = ::shmat(id, nullptr, SHM_RDONLY);
  if (memory == reinterpret_cast<const void*>(-1)) return blocked("shmat");
  return reached(static_cast<const char*>(memory));
}

Outcome segment_by_id(const Attempt& attempt) {
  return read_segment(attempt.where.number("segment"));
}

// Looks through all segments that there are.
Outcome segment_by_search(const Attempt& attempt) {
  const std::string& wanted = attempt.where.text("segment");
  shmid_ds info = {};
  const int last = ::shmctl(0, SHM_INFO, &info);
  if (last < 0) return blocked("SHM_INFO");
  for (int index = 0; index <= last; ++index) {
    const int id = ::shmctl(index, SHM_STAT, &info);
    if (std::to_string(id) == wanted) return read_segment(id);
  }
  errno = ENOENT;
  return blocked("search");
}

Outcome queue_by_id(const Attempt& attempt) {
  struct {
    long type;
    char text[256];
  } message = {};
  if (::msgrcv(attempt.where.number("queue"), &message, sizeof message.text - 1, 0,
               IPC_NOWAIT | MSG_NOERROR) < 0) {
    return blocked("msgrcv");
  }
  return reached(message.text);
}

UniqueFd open_queue(const Attempt& attempt, int flags) {
  return UniqueFd(static_cast<int>(
      ::syscall(SYS_mq_open, attempt.where.text("posix-queue").c_str() + 1, flags, 0, nullptr)));
}

Outcome posix_queue_read(const Attempt& attempt) {
  const UniqueFd queue = open_queue(attempt, O_RDONLY | O_NONBLOCK);
  if (!queue) return blocked("mq_open");
  std::array<char, 8192> block = {};
  if (::mq_receive(queue.get(), block.data(), block.size(), nullptr) < 0) {
    return blocked("mq_receive");
  }
  return reached(block.data());
}

Outcome posix_queue_write(const Attempt& attempt) {
  const UniqueFd queue = open_queue(attempt, O_WRONLY | O_NONBLOCK);
  if (!queue) return blocked("mq_open");
  if (::mq_send(queue.get(), attempt.message.data(), attempt.message.size(), 0) != 0) {
    return blocked("mq_send");
  }
  return reached("sent");
}

Outcome read_at(const std::string& path) {
  const std::string text = read_file(path);
  return text.empty() ? blocked("open " + path) : reached(text);
}

Outcome shared_memory_file(const Attempt& attempt) {
  return read_at(attempt.where.text("shm-file"));
}

Outcome temporary_file(const Attempt& attempt) {
  return read_at(attempt.where.text("tmp-file"));
}

// The session's keyring, which is inherited by every process of a login.
Outcome key_read(const Attempt& attempt) {
  const long key = ::syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user",
                             attempt.where.text("key").c_str(), 0);
  if (key < 0) return blocked("search");
  std::array<char, 256> block = {};
  if (::syscall(SYS_keyctl, KEYCTL_READ, key, block.data(), block.size() - 1) < 0) {
    return blocked("read");
  }
  return reached(block.data());
}

Outcome key_request(const Attempt& attempt) {
  const long key =
      ::syscall(SYS_request_key, "user", attempt.where.text("key").c_str(), nullptr, 0);
  return key < 0 ? blocked("request_key") : reached("found");
}

Outcome key_planted(const Attempt& attempt) {
  const long key = ::syscall(SYS_add_key, "user", "nono-planted", attempt.message.data(),
                             attempt.message.size(), KEY_SPEC_SESSION_KEYRING);
  return key < 0 ? blocked("add_key") : reached("planted");
}

}  // namespace

Family memory_family() {
  return {
      {"segment-by-id", Proof::read, segment_by_id},
      {"segment-by-search", Proof::read, segment_by_search},
      {"queue-by-id", Proof::read, queue_by_id},
      {"posix-queue-read", Proof::read, posix_queue_read, "POSIX queues"},
      {"posix-queue-write", Proof::hit, posix_queue_write, "POSIX queues"},
      {"shared-memory-file", Proof::read, shared_memory_file},
      {"temporary-file", Proof::read, temporary_file},
      {"key-read", Proof::read, key_read, "keyrings"},
      {"key-request", Proof::word, key_request, "keyrings"},
      {"key-planted", Proof::hit, key_planted, "keyrings"},
  };
}

}  // namespace escape
