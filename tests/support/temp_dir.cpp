#include "tests/support/temp_dir.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace nono::testing {

namespace fs = std::filesystem;

std::string TempDir::usual_base() {
  if (::access("/srv", W_OK) == 0) return "/srv";
  const char* home = std::getenv("HOME");
  return home != nullptr && ::access(home, W_OK) == 0 ? home : "/tmp";
}

TempDir::TempDir(std::optional<uid_t> owner, const std::string& base) : owner_(owner) {
  std::string name = base + "/nono-test-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = fs::canonical(name).string();
  fs::permissions(path_, fs::perms{0755});
  own(path_);
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TempDir::operator/(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

std::string TempDir::write(std::string_view name, std::string_view content, unsigned mode) const {
  const fs::path path = *this / name;
  if (path.parent_path() != path_) {
    make_folder(std::string_view(name).substr(0, name.rfind('/')));
  }
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  fs::permissions(path, fs::perms{mode});
  own(path.string());
  return path.string();
}

std::string TempDir::make_folder(std::string_view name, unsigned mode) const {
  fs::path path = path_;
  for (const fs::path& part : fs::path(name)) {
    path /= part;
    if (fs::create_directory(path)) own(path.string());
  }
  fs::permissions(path, fs::perms{mode});
  return path.string();
}

std::string TempDir::copy(const std::string& from, std::string_view name) const {
  const fs::path to = *this / name;
  make_folder(std::string_view(name).substr(0, name.rfind('/')));
  fs::copy_file(from, to);
  own(to.string());
  return to.string();
}

void TempDir::own(const std::string& path) const {
  if (owner_ && ::lchown(path.c_str(), *owner_, *owner_) != 0) {
    throw std::runtime_error("cannot give " + path + " to the test's user");
  }
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace nono::testing
