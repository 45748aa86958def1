#pragma once
// Whose token, phantom or name this is: one thread's index of the sessions alive.

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/session.hpp"

namespace nono {

// The key with which tokens are hashed: without it nobody can choose tokens that collide, nor learn
// from the time of a look-up how near a guess came. One per proxy.
using TokenKey = std::array<unsigned char, 32>;
TokenKey make_token_key();

// Used on one thread. Look-ups cost the same however many sessions there are.
class SessionTable final : public intercept::PhantomBook {
 public:
  explicit SessionTable(const TokenKey& key);
  ~SessionTable() override;
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  void add(const SessionPtr& session);
  void remove(const Session& session);
  std::size_t size() const { return sessions_.size(); }
  // Whether any session alive has credentials, so that phantoms are worth looking for.
  bool any_credentials() const { return with_credentials_ != 0; }

  // The session whose token this is, or null. SHA-256 of key and token is what is looked up; all of
  // it is compared, in constant time.
  SessionPtr by_token(std::string_view token);
  // The session of whose phantoms this is one, or null. `tail`: the 64 hex digits behind the infix.
  SessionPtr by_phantom(std::string_view tail);
  bool holds(std::string_view tail) override { return by_phantom(tail) != nullptr; }

 private:
  class Hash;
  using Digest = std::array<unsigned char, 32>;
  struct Entry {
    Digest digest;
    SessionPtr session;
  };
  using Index = std::unordered_multimap<std::uint64_t, Entry>;  // by the digest's first bytes

  void index_all();
  void index(const SessionPtr& session);
  SessionPtr find(const Index& in, std::string_view text);
  static void erase(Index& in, const Session& session);

  std::unique_ptr<Hash> hash_;
  std::vector<SessionPtr> sessions_;
  std::vector<SessionPtr> unindexed_;  // until the first look-up: `nono run` mostly needs none
  Index tokens_, phantoms_;
  std::size_t with_credentials_ = 0;
};

}  // namespace nono
