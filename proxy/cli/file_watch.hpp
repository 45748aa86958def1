#pragma once
// Notices that a file has become another one.

#include <functional>
#include <string>

#include "dns/hosts_file.hpp"
#include "proxy/net/asio.hpp"

namespace nono::cli {

// Looks once a second, which also sees what inotify does not: a link that points elsewhere, a
// network file system. Used on the executor's thread.
class FileWatch {
 public:
  // Calls `changed` once the file is another than before and has stayed so for a look: nobody is
  // writing it any more. A file that is gone is not looked at as changed.
  FileWatch(Executor executor, std::string path, std::function<void()> changed);
  // Any thread: from now on it is this file, as it is then.
  void follow(std::string path);

 private:
  void look();

  SteadyTimer timer_;
  std::string path_;
  std::function<void()> changed_;
  dns::FileVersion known_, seen_;
};

}  // namespace nono::cli
