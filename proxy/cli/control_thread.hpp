#pragma once
// A thread for what may take its time: reading keys, asking package managers, reading nono.yaml
// again. One job at a time, in order.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace nono::cli {

class ControlThread {
 public:
  ControlThread() : thread_([this] { work(); }) {}
  ~ControlThread();  // waits for the job under way
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  // Any thread. After finish() nothing is taken any more.
  void post(std::function<void()> job);
  // Drops what has not begun and waits for the job under way, at most `time_max`. False: it still
  // runs.
  bool finish(std::chrono::milliseconds time_max);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool busy_ = false;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace nono::cli
