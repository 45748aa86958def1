#include "proxy/audit/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "config/base/fd.hpp"
#include "proxy/audit/format.hpp"

namespace nono::audit {

namespace {

// Best effort: records gather this long, so that a busy proxy pays no wake-up for each of them.
constexpr std::chrono::milliseconds gather_time{50};
constexpr std::size_t queue_max = 65'536;
constexpr std::string_view chain_key = ",\"chain\":\"";
constexpr std::size_t chain_digits = 64;

using Done = std::function<void(bool)>;

struct Entry {
  Record record;
  Done done;
};

class Chain {
 public:
  void continue_from(std::string digits) { previous_ = std::move(digits); }
  const std::string& head() const { return previous_; }
  // Closes `line` (an open JSON object) with its chain field.
  void seal(std::string& line) {
    // Fetched with the first record: it wakes all of OpenSSL, which a run without one need not pay.
    if (!sha256_) sha256_.reset(EVP_MD_fetch(nullptr, "SHA256", nullptr));
    std::string input = previous_ + line;
    unsigned char digest[32];
    unsigned size = sizeof digest;
    EVP_Digest(input.data(), input.size(), digest, &size, sha256_.get(), nullptr);
    previous_.clear();
    for (const unsigned char byte : digest) {
      fmt::format_to(std::back_inserter(previous_), "{:02x}", static_cast<unsigned>(byte));
    }
    line += chain_key;
    line += previous_;
    line += "\"}\n";
  }

 private:
  std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> sha256_{nullptr, EVP_MD_free};
  std::string previous_;
};

struct Tail {
  std::string chain;
  std::uint64_t next_sequence = 0;
};

// What the last line of an existing log says; an empty file starts a new chain.
Result<Tail> read_tail(int fd, const std::string& path) {
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size <= 0) return Tail{};
  const std::size_t want = std::min<std::size_t>(static_cast<std::size_t>(size), 64 * 1024);
  std::string end(want, '\0');
  const ssize_t got = ::pread(fd, end.data(), want, size - static_cast<off_t>(want));
  const std::string damaged = "the last line of " + path + " is not a whole audit record";
  const std::string remedy = "move the file away; nono starts a new one";
  if (got != static_cast<ssize_t>(want) || end.back() != '\n') {
    return fail(ErrorCode::io, damaged, remedy);
  }
  end.pop_back();
  const std::string line =
      end.substr(end.rfind('\n') == std::string::npos ? 0 : end.rfind('\n') + 1);
  const std::size_t at = line.rfind(chain_key);
  unsigned long long sequence = 0;
  if (at == std::string::npos || line.size() != at + chain_key.size() + chain_digits + 2 ||
      std::sscanf(line.c_str(), "{\"seq\":%llu", &sequence) != 1) {
    return fail(ErrorCode::io, damaged, remedy);
  }
  Tail tail;
  tail.chain = line.substr(at + chain_key.size(), chain_digits);
  tail.next_sequence = sequence + 1;
  return tail;
}

}  // namespace

class Log::Writer {
 public:
  explicit Writer(LogOptions options) : options_(std::move(options)) {}
  ~Writer() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> open() {
    if (options_.path.empty()) return {};
    std::error_code ignored;
    const auto folder = std::filesystem::path(options_.path).parent_path();
    if (!folder.empty() && std::filesystem::create_directories(folder, ignored)) {
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
    }
    file_ = UniqueFd(
        ::open(options_.path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_) {
      Error error = errno_error(errno, "cannot open the audit log " + options_.path);
      error.fix = "name another file with --audit-log";
      return fail(std::move(error));
    }
    struct stat status {};
    if (::fstat(file_.get(), &status) == 0 && !S_ISREG(status.st_mode)) {
      regular_ = false;
      return {};
    }
    if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
      return fail(ErrorCode::io, "another process writes the audit log " + options_.path,
                  "name another file with --audit-log");
    }
    auto tail = read_tail(file_.get(), options_.path);
    if (!tail) return fail(tail.error());
    sequence_ = tail->next_sequence;
    chain_.continue_from(std::move(tail->chain));
    return {};
  }

  bool required() const { return options_.required; }

  void push(Record record, Done done) {
    const bool urgent = done != nullptr;
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return queue_.size() < queue_max || stopping_; });
    queue_.push_back(Entry{std::move(record), std::move(done)});
    const bool half_full = queue_.size() == queue_max / 2;
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    hurry_ = hurry_ || urgent || half_full;
    if (hurry_ || sleeping_) {
      lock.unlock();
      wake_.notify_one();
    }
  }

  void flush() {
    std::unique_lock lock(mutex_);
    if (!thread_.joinable()) return;
    hurry_ = true;
    wake_.notify_one();
    room_.wait(lock, [this] { return queue_.empty() && !writing_; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      if (queue_.empty()) {
        if (stopping_) return;
        sleeping_ = true;
        wake_.wait(lock, [this] { return !queue_.empty() || stopping_; });
        sleeping_ = false;
        continue;
      }
      if (!hurry_ && !stopping_)
        wake_.wait_for(lock, gather_time, [this] { return hurry_ || stopping_; });
      hurry_ = false;
      std::vector<Entry> batch;
      batch.swap(queue_);
      writing_ = true;
      lock.unlock();
      write_batch(batch);
      lock.lock();
      writing_ = false;
      room_.notify_all();
    }
  }

  void write_batch(std::vector<Entry>& batch) {
    std::string text;
    bool sync = false;
    const std::string chain_before = chain_.head();
    const std::uint64_t sequence_before = sequence_;
    for (Entry& entry : batch) {
      if (file_) {
        std::string line = format_open(entry.record, sequence_++);
        chain_.seal(line);
        text += line;
      }
      sync = sync || entry.done != nullptr;
    }
    const bool stored = !file_ || store(text, sync);
    if (!stored) {  // store() took back what it had written: the next batch continues the chain
      chain_.continue_from(chain_before);
      sequence_ = sequence_before;
    }
    for (Entry& entry : batch) {
      if (options_.on_record) options_.on_record(entry.record);
      if (entry.done) entry.done(stored);
    }
  }

  // All of `text`, or nothing of it: half a line would end the chain for good.
  bool store(std::string_view text, bool sync) {
    const off_t start = regular_ ? ::lseek(file_.get(), 0, SEEK_END) : 0;
    while (!text.empty()) {
      const ssize_t count = ::write(file_.get(), text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        if (!complained_) {
          fmt::print(stderr, "nono: cannot write the audit log {}: {}\n", options_.path,
                     std::strerror(errno));
        }
        complained_ = true;
        take_back(start);
        return false;
      }
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    if (!sync || !regular_ || ::fdatasync(file_.get()) == 0) return true;
    take_back(start);
    return false;
  }

  void take_back(off_t start) {
    if (regular_ && ::ftruncate(file_.get(), start) != 0) regular_ = false;
  }

  const LogOptions options_;
  UniqueFd file_;
  bool regular_ = true;
  Chain chain_;
  std::uint64_t sequence_ = 0;
  bool complained_ = false;

  std::mutex mutex_;
  std::condition_variable wake_, room_;
  std::vector<Entry> queue_;
  bool hurry_ = false, stopping_ = false, writing_ = false, sleeping_ = false;
  std::thread thread_;  // started with the first record: a short run without one pays nothing
};

Result<std::unique_ptr<Log>> Log::open(LogOptions options) {
  auto writer = std::make_unique<Writer>(std::move(options));
  auto opened = writer->open();
  if (!opened) return fail(opened.error());
  return std::unique_ptr<Log>(new Log(std::move(writer)));
}

Log::Log(std::unique_ptr<Writer> writer) : writer_(std::move(writer)) {}
Log::~Log() = default;

void Log::write(Record record) {
  writer_->push(std::move(record), nullptr);
}
void Log::flush() {
  writer_->flush();
}
bool Log::required() const {
  return writer_->required();
}

Awaitable<Result<void>> Log::commit(Record record) {
  if (!writer_->required()) {
    writer_->push(std::move(record), nullptr);
    co_return Result<void>{};
  }
  const auto executor = co_await net::this_coro::executor;
  auto start = [this, executor, &record](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto work = net::make_work_guard(executor);
    writer_->push(std::move(record), [shared, work](bool stored) {
      auto finish = [shared, stored] { (*shared)(stored); };
      net::post(work.get_executor(), std::move(finish));
    });
  };
  const bool stored =
      co_await net::async_initiate<const net::deferred_t, void(bool)>(start, net::deferred);
  if (!stored) {
    co_return fail(ErrorCode::io, "the audit log cannot be written and is required",
                   "free space for it, or run with --audit best-effort");
  }
  co_return Result<void>{};
}

}  // namespace nono::audit
