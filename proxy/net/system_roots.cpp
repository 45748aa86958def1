// Where trusted roots lie on the systems we know. The one place in the proxy that reads the
// environment: these two variables belong to every TLS library, and are not settings of ours.
#include <dirent.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "proxy/net/tls_context.hpp"

namespace nono {

namespace {

constexpr std::array<const char*, 4> known_bundles = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",                             // openSUSE
    "/etc/ssl/cert.pem",                                  // Alpine's base, macOS
};
constexpr std::array<const char*, 2> known_directories = {"/etc/ssl/certs", "/etc/pki/tls/certs"};

std::optional<std::string> from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// Whether a directory holds names like "5ed36f99.0", by which OpenSSL finds an issuer without
// reading all.
bool is_hashed(const char* path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path), &::closedir);
  if (!directory) return false;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() == 10 && name[8] == '.' &&
        name.substr(0, 8).find_first_not_of("0123456789abcdef") == name.npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

SystemRoots SystemRoots::find() {
  SystemRoots roots;
  roots.file = from_environment("SSL_CERT_FILE");
  roots.directory = from_environment("SSL_CERT_DIR");
  if (roots.directory) return roots;
  for (const char* path : known_bundles) {
    if (!roots.bundle && ::access(path, R_OK) == 0) roots.bundle = path;
  }
  for (const char* path : known_directories) {
    if (!roots.directory && is_hashed(path)) roots.directory = path;
  }
  return roots;
}

}  // namespace nono
