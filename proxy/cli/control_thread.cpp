#include "proxy/cli/control_thread.hpp"

#include <utility>

namespace nono::cli {

ControlThread::~ControlThread() {
  finish(std::chrono::milliseconds(0));
  thread_.join();
}

void ControlThread::post(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (finishing_) return;
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

bool ControlThread::finish(std::chrono::milliseconds time_max) {
  std::unique_lock lock(mutex_);
  finishing_ = true;
  jobs_.clear();
  changed_.notify_all();
  return changed_.wait_for(lock, time_max, [this] { return !busy_; });
}

void ControlThread::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return finishing_ || !jobs_.empty(); });
    if (finishing_) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    busy_ = true;
    lock.unlock();
    job();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace nono::cli
