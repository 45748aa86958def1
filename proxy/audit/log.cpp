#include "proxy/audit/log.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "proxy/audit/chain.hpp"
#include "proxy/audit/file.hpp"
#include "proxy/audit/format.hpp"

namespace nono::audit {

namespace {

using Clock = std::chrono::steady_clock;
using Done = std::function<void(bool)>;

// Best effort: records gather this long, so that a busy proxy pays no wake-up for each of them.
constexpr std::chrono::milliseconds gather_time{50};
constexpr std::size_t queue_max = 65'536;
constexpr std::size_t queue_bytes_max = std::size_t{64} << 20;
constexpr std::size_t queue_kept_max = 4'096;  // more room than that is given back
constexpr std::size_t queue_bytes_kept_max = std::size_t{8} << 20;
constexpr std::size_t room_kept_max = 64 * 1024;
constexpr std::size_t group_bytes_max = std::size_t{1} << 20;

struct Entry {
  std::size_t bytes;  // of the queue's text
  Done done;
  Clock::time_point queued;                // where there is `done`
  std::unique_ptr<const Record> recorded;  // where somebody is told of it
};

// Records that wait for the writer: all their text in one piece, so that a record costs no memory
// of its own, which the writer would have to give back on another thread.
struct Queue {
  std::vector<Entry> entries;
  std::string text;

  bool full() const { return entries.size() >= queue_max || text.size() >= queue_bytes_max; }
  bool half_full() const {
    return entries.size() >= queue_max / 2 || text.size() >= queue_bytes_max / 2;
  }
  // Both or neither: a text without its entry would be cut into the lines behind it.
  void add(std::string_view line, Entry entry) {
    entries.push_back(std::move(entry));
    try {
      text += line;
    } catch (...) {
      entries.pop_back();
      throw;
    }
  }
  void clear() {
    entries.clear();
    text.clear();
    if (entries.capacity() > queue_kept_max) entries.shrink_to_fit();
    if (text.capacity() > queue_bytes_kept_max) text.shrink_to_fit();
  }
};

// A full disk or a reader that went away is an error of write() here, and no end of the process.
void take_write_signals_as_errors() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGXFSZ);
  sigaddset(&signals, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

// Says an error once, and again only after it was over.
class Complaint {
 public:
  void say(std::string_view what, const std::string& path, const std::string& why) {
    if (said_ == why) return;
    said_ = why;
    if (why.empty()) return;
    // Not by fmt::print, which throws where stderr is a file on the same full disk.
    const std::string line = fmt::format("nono: cannot {} the audit log {}: {}\n", what, path, why);
    [[maybe_unused]] const ssize_t told = ::write(STDERR_FILENO, line.data(), line.size());
  }

 private:
  std::string said_;
};

// Turns records into lines of the file. One thread.
class LineWriter {
 public:
  LineWriter(LogFile file, LogTail tail, std::string path)
      : file_(std::move(file)), path_(std::move(path)), sequence_(tail.next_sequence) {
    chain_.continue_from(tail.chain);
    fragment_ = std::move(tail.fragment);
    fragment_bytes_ = tail.fragment_bytes;
  }

  // Writes entries from `from` on, at most what fits into one group and one file, and takes their
  // text off `waiting`. Returns where the next group begins; `stored` is how many of this one are
  // written, the first ones.
  std::size_t write_group(const std::vector<Entry>& entries, std::string_view& waiting,
                          std::size_t from, std::size_t& stored) {
    file_.prepare();
    text_.clear();
    const std::string head = chain_.head();
    const std::uint64_t first = sequence_ + unwritten_;
    std::uint64_t next = first;
    const bool has_note = add_note(next);
    if (has_note) ++next;
    const std::uint64_t room = std::min<std::uint64_t>(file_.room(), group_bytes_max);
    bool sync = false;
    std::size_t to = from;
    while (to < entries.size() && (to == from || text_.size() < room)) {
      const Entry& entry = entries[to];
      add_line(next++, [&](std::string& out) { out += waiting.substr(0, entry.bytes); });
      waiting.remove_prefix(entry.bytes);
      sync = sync || entry.done != nullptr;
      ++to;
    }
    if (text_.empty()) return to;
    const std::size_t kept = file_.append(text_, sync);
    const std::string_view kept_text = std::string_view(text_).substr(0, kept);
    const auto lines =
        kept == text_.size()
            ? static_cast<std::size_t>(next - first)
            : static_cast<std::size_t>(std::count(kept_text.begin(), kept_text.end(), '\n'));
    if (lines > 0) {
      sequence_ = first + lines;
      unwritten_ = 0;
      fragment_.clear();
      fragment_bytes_ = 0;
    }
    if (kept < text_.size()) go_back_to(kept_text, head);
    stored = lines - (has_note && lines > 0 ? 1 : 0);
    lose(to - from - stored);
    written_ += lines;
    write_complaint_.say("write", path_, file_.write_error());
    rotate_complaint_.say("rotate", path_, file_.rotate_error());
    return to;
  }

  // A note on what is lost, where no further record will bring it.
  void finish() {
    std::size_t stored = 0;
    std::string_view nothing;
    if (unwritten_ > 0) write_group({}, nothing, 0, stored);
  }

  // Counts records that come after the last line and are in no file.
  void lose(std::uint64_t records) {
    unwritten_ += records;
    lost_ += records;
  }

  bool failing() const { return unwritten_ > 0; }
  std::uint64_t written() const { return written_; }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t rotations() const { return file_.rotations(); }

 private:
  template <class Append>
  void add_line(std::uint64_t sequence, Append append) {
    const std::size_t from = text_.size();
    append_number(text_, sequence);
    append(text_);
    chain_.seal(text_, from);
  }

  bool add_note(std::uint64_t sequence) {
    Note note;
    if (file_.size() == 0) note.continues = chain_.head();
    note.lost = unwritten_;
    note.fragment = fragment_;
    note.fragment_bytes = fragment_bytes_;
    if (note.empty()) return false;
    const auto now = std::chrono::system_clock::now();
    add_line(sequence, [&](std::string& out) { append_note(out, note, now); });
    return true;
  }

  // The next line is chained to the last one that is in the file.
  void go_back_to(std::string_view kept_text, const std::string& head) {
    if (kept_text.empty()) {
      chain_.continue_from(head);
      return;
    }
    kept_text.remove_suffix(1);
    const std::size_t before = kept_text.rfind('\n');
    const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
    if (const std::optional<Line> line = split_line(kept_text.substr(begin))) {
      chain_.continue_from(line->chain);
    }
  }

  LogFile file_;
  const std::string path_;
  Chain chain_;
  std::uint64_t sequence_;       // of the next line, were nothing lost before it
  std::uint64_t unwritten_ = 0;  // lost since the last line
  std::string fragment_;         // to be told in the next note
  std::uint64_t fragment_bytes_ = 0;
  std::uint64_t written_ = 0, lost_ = 0;
  std::string text_;
  Complaint write_complaint_, rotate_complaint_;
};

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
    LogTail tail;
    LogFile::Options file{options_.path, options_.rotate_bytes, options_.keep};
    Result<LogFile> opened = LogFile::open(std::move(file), tail);
    if (!opened) return fail(opened.error());
    lines_.emplace(std::move(*opened), std::move(tail), options_.path);
    return {};
  }

  bool required() const { return options_.required; }

  void push(const Record& record, Done done) {
    const bool urgent = done != nullptr;
    const Clock::time_point now = urgent ? Clock::now() : Clock::time_point();
    std::unique_ptr<const Record> recorded;
    if (options_.on_record) recorded = std::make_unique<const Record>(record);
    thread_local std::string room;
    const std::string_view text = lines_ ? record_text(room, record) : std::string_view();
    std::unique_lock lock(mutex_);
    if (queue_.full() && !options_.required) {
      ++dropped_;
      return;
    }
    room_.wait(lock, [this] { return !queue_.full() || stopping_; });
    queue_.add(text, Entry{text.size(), std::move(done), now, std::move(recorded)});
    if (room.size() > room_kept_max) std::string().swap(room);
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    hurry_ = hurry_ || urgent || queue_.half_full();
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
    room_.wait(lock, [this] { return queue_.entries.empty() && !writing_; });
  }

  void retry() {
    const std::lock_guard lock(mutex_);
    if (!stats_.failing || !thread_.joinable()) return;
    retry_ = true;
    wake_.notify_one();
  }

  LogStats stats() const {
    const std::lock_guard lock(mutex_);
    LogStats stats = stats_;
    stats.lost += dropped_;
    stats.queue_depth = queue_.entries.size() + in_work_;
    return stats;
  }

 private:
  void work() {
    take_write_signals_as_errors();
    Queue batch;
    std::unique_lock lock(mutex_);
    while (true) {
      if (queue_.entries.empty()) {
        if (stopping_) {
          if (lines_) lines_->finish();
          return;
        }
        sleeping_ = true;
        wake_.wait(lock, [this] { return !queue_.entries.empty() || stopping_ || retry_; });
        sleeping_ = false;
        if (std::exchange(retry_, false) && lines_) note_losses(lock);
        continue;
      }
      if (!hurry_ && !stopping_)
        wake_.wait_for(lock, gather_time, [this] { return hurry_ || stopping_; });
      hurry_ = false;
      std::swap(batch, queue_);
      in_work_ = batch.entries.size();
      const std::uint64_t dropped = std::exchange(dropped_, 0);
      writing_ = true;
      lock.unlock();
      write_batch(batch, dropped);
      batch.clear();
      lock.lock();
      writing_ = false;
      room_.notify_all();
    }
  }

  void write_batch(Queue& queue, std::uint64_t dropped) {
    std::vector<Entry>& batch = queue.entries;
    std::string_view waiting = queue.text;
    for (std::size_t at = 0; at < batch.size();) {
      std::size_t end = batch.size(), stored = batch.size() - at;
      if (lines_) end = lines_->write_group(batch, waiting, at, stored);
      for (std::size_t i = at; i < end; ++i) {
        if (batch[i].recorded) options_.on_record(*batch[i].recorded);
      }
      count(batch, at, end, end == batch.size() ? dropped : 0);
      for (std::size_t i = at; i < end; ++i) {
        if (batch[i].done) batch[i].done(i - at < stored);
      }
      at = end;
    }
  }

  void note_losses(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    lines_->finish();
    lock.lock();
    take_figures();
  }

  void take_figures() {
    stats_.written = lines_->written();
    stats_.lost = lines_->lost();
    stats_.failing = lines_->failing();
    stats_.rotations = lines_->rotations();
  }

  // Brings the figures up to date, before anyone is told that a record is stored.
  void count(const std::vector<Entry>& batch, std::size_t from, std::size_t to,
             std::uint64_t dropped) {
    const Clock::time_point now = Clock::now();
    if (lines_) lines_->lose(dropped);
    const std::lock_guard lock(mutex_);
    in_work_ = batch.size() - to;
    for (std::size_t i = from; i < to; ++i) {
      if (!batch[i].done) continue;
      const auto waited =
          std::chrono::duration_cast<std::chrono::microseconds>(now - batch[i].queued);
      const auto& bounds = LogStats::commit_bounds;
      const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), waited) - bounds.begin();
      ++stats_.commits[static_cast<std::size_t>(bucket)];
      stats_.commit_time += waited;
    }
    if (lines_) take_figures();
  }

  const LogOptions options_;
  std::optional<LineWriter> lines_;  // the writer's thread's own, once it runs

  mutable std::mutex mutex_;
  std::condition_variable wake_, room_;
  Queue queue_;
  std::size_t in_work_ = 0;
  std::uint64_t dropped_ = 0;
  LogStats stats_;
  bool retry_ = false;
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

void Log::write(const Record& record) {
  writer_->push(record, nullptr);
}
void Log::flush() {
  writer_->flush();
}
void Log::retry() {
  writer_->retry();
}
LogStats Log::stats() const {
  return writer_->stats();
}
bool Log::required() const {
  return writer_->required();
}

Awaitable<Result<void>> Log::commit(const Record& record) {
  if (!writer_->required()) {
    writer_->push(record, nullptr);
    co_return Result<void>{};
  }
  const auto executor = co_await net::this_coro::executor;
  auto start = [this, executor, &record](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto work = net::make_work_guard(executor);
    // What belongs to the executor's context goes there with the answer: once it has that, the
    // context may be gone.
    writer_->push(record, [shared, work](bool stored) mutable {
      const auto context = work.get_executor();
      auto finish = [own = std::move(shared), guard = std::move(work), stored] { (*own)(stored); };
      net::post(context, std::move(finish));
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
