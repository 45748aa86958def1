#include "proxy/session_table.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "config/base/random.hpp"

namespace nono {

TokenKey make_token_key() {
  TokenKey key{};
  if (!fill_random(key)) throw std::runtime_error("the system gives no random numbers");
  return key;
}

class SessionTable::Hash {
 public:
  explicit Hash(const TokenKey& key) : key_(key) {}

  Digest of(std::string_view text) {
    if (context_ == nullptr) {
      algorithm_.reset(EVP_MD_fetch(nullptr, "SHA256", nullptr));
      context_.reset(EVP_MD_CTX_new());
    }
    Digest digest{};
    unsigned size = 0;
    const bool done = EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1 &&
                      EVP_DigestUpdate(context_.get(), key_.data(), key_.size()) == 1 &&
                      EVP_DigestUpdate(context_.get(), text.data(), text.size()) == 1 &&
                      EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1;
    if (!done || size != digest.size()) throw std::runtime_error("SHA-256 is not to be had");
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD* algorithm) const { EVP_MD_free(algorithm); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  TokenKey key_;
  std::unique_ptr<EVP_MD, Free> algorithm_;  // fetched once: fetching costs more than hashing
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

namespace {

std::uint64_t first_bytes(const std::array<unsigned char, 32>& digest) {
  std::uint64_t out = 0;
  std::memcpy(&out, digest.data(), sizeof out);
  return out;
}

std::string_view tail_of(std::string_view phantom) {
  const std::size_t at = phantom.rfind("nono_");
  return at == phantom.npos ? std::string_view() : phantom.substr(at + 5);
}

}  // namespace

SessionTable::SessionTable(const TokenKey& key) : hash_(std::make_unique<Hash>(key)) {}
SessionTable::~SessionTable() = default;

void SessionTable::add(const SessionPtr& session) {
  sessions_.push_back(session);
  unindexed_.push_back(session);
  if (!session->credentials().empty()) ++with_credentials_;
}

void SessionTable::remove(const Session& session) {
  const auto same = [&](const SessionPtr& other) { return other.get() == &session; };
  const auto at = std::find_if(sessions_.begin(), sessions_.end(), same);
  if (at == sessions_.end()) return;
  if (!session.credentials().empty()) --with_credentials_;
  const SessionPtr alive = *at;
  std::swap(*at, sessions_.back());
  sessions_.pop_back();
  std::erase_if(unindexed_, same);
  erase(tokens_, session);
  erase(phantoms_, session);
}

// A linear walk, but only for revocations.
void SessionTable::erase(Index& in, const Session& session) {
  std::erase_if(in, [&](const auto& item) { return item.second.session.get() == &session; });
}

void SessionTable::index(const SessionPtr& session) {
  const auto put = [&](Index& into, std::string_view text) {
    if (text.empty()) return;
    const Digest digest = hash_->of(text);
    into.emplace(first_bytes(digest), Entry{digest, session});
  };
  put(tokens_, session->token().expose());
  for (const LoadedCredential& credential : session->credentials()) {
    put(phantoms_, tail_of(credential.phantom));
  }
}

void SessionTable::index_all() {
  for (const SessionPtr& session : unindexed_) index(session);
  unindexed_.clear();
}

SessionPtr SessionTable::find(const Index& in, std::string_view text) {
  const Digest digest = hash_->of(text);
  auto [at, end] = in.equal_range(first_bytes(digest));
  for (; at != end; ++at) {
    if (CRYPTO_memcmp(at->second.digest.data(), digest.data(), digest.size()) == 0) {
      return at->second.session;
    }
  }
  return nullptr;
}

SessionPtr SessionTable::by_token(std::string_view token) {
  if (token.empty()) return nullptr;
  index_all();
  return find(tokens_, token);
}

SessionPtr SessionTable::by_phantom(std::string_view tail) {
  if (tail.empty()) return nullptr;
  index_all();
  return find(phantoms_, tail);
}

}  // namespace nono
