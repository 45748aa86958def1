#pragma once
// A user with a home, a project and an environment of their own, in a directory that goes away.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "config/profile.hpp"

namespace nono::test {

class Home {
 public:
  Home() {
    char name[] = "/tmp/nono-config-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    root_ = std::filesystem::canonical(name).string();
    directory("home/.ssh");
    directory("project");
    variables["PATH"] = root_ + "/bin:/usr/bin:/bin";
  }
  ~Home() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  std::string path(const std::string& name) const { return root_ + "/" + name; }

  std::string directory(const std::string& name) const {
    std::filesystem::create_directories(path(name));
    return path(name);
  }

  std::string file(const std::string& name, const std::string& text = "x",
                   unsigned mode = 0644) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
    ::chmod(path(name).c_str(), mode);
    return path(name);
  }

  std::string link(const std::string& name, const std::string& target) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::filesystem::create_symlink(target, path(name));
    return path(name);
  }

  UserContext user() const {
    UserContext user;
    user.home = path("home");
    user.cwd = path("project");
    user.uid = ::geteuid();
    user.gid = ::getegid();
    user.config_dir = path("home/.config/nono");
    user.state_dir = path("home/.local/state/nono");
    user.env = [values = variables](std::string_view name) -> std::optional<std::string> {
      auto it = values.find(std::string(name));
      return it == values.end() ? std::nullopt : std::optional<std::string>(it->second);
    };
    return user;
  }

  std::map<std::string, std::string> variables;

 private:
  std::string root_;
};

}  // namespace nono::test
