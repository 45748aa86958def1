#include "sandbox/linux/probe_cache.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "config/base/fd.hpp"

namespace nono::sandbox {
namespace {

constexpr std::string_view every_port = "every port is redirected\n";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::string probe_identity() {
  std::string boot = read_file("/proc/sys/kernel/random/boot_id");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  struct stat program = {};
  if (boot.empty() || ::stat("/proc/self/exe", &program) != 0) return {};
  return fmt::format("boot {} program {}:{} {} {}.{:09} user {}\n", boot, program.st_dev,
                     program.st_ino, program.st_size, program.st_mtim.tv_sec,
                     program.st_mtim.tv_nsec, ::geteuid());
}

Findings recall(const std::string& file, const std::string& identity) {
  if (file.empty() || identity.empty()) return {};
  const std::string text = read_file(file);
  if (!text.starts_with(identity)) return {};
  const std::string_view rest = std::string_view(text).substr(identity.size());
  if (!rest.empty() && rest != every_port) return {};
  return {true, rest == every_port};
}

void remember(const std::string& file, const std::string& identity, const Findings& findings) {
  if (file.empty() || identity.empty() || !findings.netns) return;
  const std::string text = findings.every_port ? identity + every_port.data() : identity;
  const std::string folder = std::filesystem::path(file).parent_path().string();
  std::error_code ignored;
  const mode_t before = ::umask(S_IRWXG | S_IRWXO);
  std::filesystem::create_directories(folder, ignored);
  std::string name = file + ".XXXXXX";
  UniqueFd fresh(::mkostemp(name.data(), O_CLOEXEC));
  ::umask(before);
  if (!fresh) return;
  // A limit on the size of files is an error here and no end of the process; the command has what
  // was there before.
  const auto on_limit = std::signal(SIGXFSZ, SIG_IGN);
  const bool written =
      ::write(fresh.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  std::signal(SIGXFSZ, on_limit);
  if (!written || std::rename(name.c_str(), file.c_str()) != 0) ::unlink(name.c_str());
}

void forget(const std::string& file) {
  if (!file.empty()) ::unlink(file.c_str());
}

}  // namespace nono::sandbox
