#include "proxy/intercept/bundle.hpp"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

#include "proxy/intercept/files.hpp"

namespace nono::intercept {

namespace {

constexpr std::size_t bundle_bytes_max = 16 * 1024 * 1024;  // Debian's has 0.2 MiB

bool holds_certificates(std::string_view pem) {
  return pem.find("-----BEGIN CERTIFICATE-----") != pem.npos ||
         pem.find("-----BEGIN TRUSTED CERTIFICATE-----") != pem.npos;
}

// Appends a file of certificates; anything that is none is passed over.
void append_file(const std::string& path, std::string& bundle) {
  const auto content = read_file(path, bundle_bytes_max);
  if (!content || !holds_certificates(*content)) return;
  bundle += *content;
  if (!bundle.ends_with('\n')) bundle += '\n';
}

// Certificates under their subject's hash, "5ed36f99.0": the other names are the same files again.
bool is_hash_name(std::string_view name) {
  return name.size() > 9 && name[8] == '.' &&
         name.substr(0, 8).find_first_not_of("0123456789abcdef") == name.npos &&
         name.substr(9).find_first_not_of("0123456789") == name.npos;
}

void append_directory(const std::string& path, std::string& bundle) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) return;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (is_hash_name(entry->d_name)) append_file(path + "/" + entry->d_name, bundle);
  }
}

void append_system_roots(std::string& bundle) {
  const SystemRoots roots = SystemRoots::find();
  if (roots.file) append_file(*roots.file, bundle);
  if (roots.bundle) {
    append_file(*roots.bundle, bundle);
    return;
  }
  std::string_view rest = roots.directory ? std::string_view(*roots.directory) : std::string_view();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    append_directory(std::string(rest.substr(0, end)), bundle);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

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
  std::string bundle;
  if (parent_bundle) append_file(*parent_bundle, bundle);
  append_system_roots(bundle);
  if (bundle.empty()) {
    return fail(ErrorCode::bad_input, "no trusted root certificates were found on this system",
                "install ca-certificates, or let SSL_CERT_FILE name a bundle");
  }
  bundle += ca.certificate_pem();
  return write_whole(file, bundle);
}

}  // namespace nono::intercept
