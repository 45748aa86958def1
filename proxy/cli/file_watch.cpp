#include "proxy/cli/file_watch.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace nono::cli {

namespace {
constexpr std::chrono::seconds look_every{1};
}

FileWatch::FileWatch(Executor executor, std::string path, std::function<void()> changed)
    : timer_(executor),
      path_(std::move(path)),
      changed_(std::move(changed)),
      known_(dns::FileVersion::of(path_)),
      seen_(known_) {
  look();
}

void FileWatch::follow(std::string path) {
  net::post(timer_.get_executor(), [this, path = std::move(path)] {
    if (path == path_) return;
    path_ = path;
    seen_ = known_ = dns::FileVersion::of(path_);
  });
}

void FileWatch::look() {
  timer_.expires_after(look_every);
  timer_.async_wait([this](const ErrorCodeSys& code) {
    if (code) return;
    const dns::FileVersion now = dns::FileVersion::of(path_);
    const bool settled = now == std::exchange(seen_, now);
    if (settled && now.regular && !(now == known_)) {
      known_ = now;
      changed_();
    }
    look();
  });
}

}  // namespace nono::cli
