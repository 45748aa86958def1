#include "proxy/intercept/bundle.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <unordered_set>

#include "proxy/intercept/files.hpp"

namespace nono::intercept {

namespace {

constexpr std::size_t bundle_bytes_max = 16 * 1024 * 1024;  // Debian's has 0.2 MiB
constexpr std::string_view begin_line = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view end_line = "-----END CERTIFICATE-----";

// "5ed36f99.0"
bool is_hash_name(std::string_view name) {
  return name.size() > 9 && name[8] == '.' &&
         name.substr(0, 8).find_first_not_of("0123456789abcdef") == name.npos &&
         name.substr(9).find_first_not_of("0123456789") == name.npos;
}

// Certificates in PEM, each once: the environment and the system often name the same roots.
class Collection {
 public:
  // Takes the certificates of a file; anything else in it is left out.
  void add_file(const std::string& path) {
    const auto content = read_file(path, bundle_bytes_max);
    std::string_view rest = content ? std::string_view(*content) : std::string_view();
    while (true) {
      const std::size_t begin = rest.find(begin_line);
      if (begin == rest.npos) return;
      const std::size_t end = rest.find(end_line, begin);
      if (end == rest.npos) return;
      const std::string block(rest.substr(begin, end + end_line.size() - begin));
      if (seen_.insert(block).second) text_ += block + "\n";
      rest.remove_prefix(end + end_line.size());
    }
  }

  // Of a directory, what is named by its subject's hash: other names are the same files again.
  void add_directory(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
    if (!directory) return;
    while (const dirent* entry = ::readdir(directory.get())) {
      if (is_hash_name(entry->d_name)) add_file(path + "/" + entry->d_name);
    }
  }

  void add_system_roots() {
    const SystemRoots roots = SystemRoots::find();
    if (roots.file) add_file(*roots.file);
    if (roots.bundle) {
      add_file(*roots.bundle);
      return;
    }
    std::string_view rest = roots.directory ? std::string_view(*roots.directory) : "";
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      add_directory(std::string(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::unordered_set<std::string> seen_;
};

Result<void> write_whole(const UniqueFd& file, std::string_view content) {
  if (::ftruncate(file.get(), 0) != 0) {
    return fail(errno_error(errno, "cannot empty the CA bundle"));
  }
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t count = ::pwrite(file.get(), content.data() + written, content.size() - written,
                                   static_cast<off_t>(written));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error(errno, "cannot write the CA bundle"));
    written += static_cast<std::size_t>(count);
  }
  return {};
}

}  // namespace

Result<void> write_bundle(const UniqueFd& file, const CertificateAuthority& ca,
                          const std::optional<std::string>& parent_bundle) {
  Collection roots;
  if (parent_bundle) roots.add_file(*parent_bundle);
  roots.add_system_roots();
  if (roots.text().empty()) {
    return fail(ErrorCode::bad_input, "no trusted root certificates were found on this system",
                "install ca-certificates, or let SSL_CERT_FILE name a bundle");
  }
  return write_whole(file, roots.text() + ca.certificate_pem());
}

}  // namespace nono::intercept
