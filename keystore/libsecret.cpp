// The Secret Service (gnome-keyring, KWallet, KeePassXC) through libsecret's synchronous calls.

#include <sys/stat.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include "config/base/on_exit.hpp"
#include "keystore/keystore.hpp"
#include "keystore/libsecret_library.hpp"

namespace nono::keystore {

namespace {

using detail::Library;
using detail::Object;
using detail::Table;
using detail::Value;

// Without this check GLib would try to start a bus of its own, on which there is no keyring anyway.
bool session_bus_exists() {
  const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS");
  if (address != nullptr && *address != '\0') return true;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime == nullptr || *runtime == '\0') return false;
  struct stat status = {};
  return ::stat((std::string(runtime) + "/bus").c_str(), &status) == 0;
}

constexpr std::string_view other_sources = "use env://VAR or file:///path instead";

// Cancels a blocking call when it takes too long: an unlock prompt that nobody answers.
class Watchdog {
 public:
  Watchdog(const Library& library, std::chrono::seconds timeout)
      : cancellable_(library.cancellable_new(), {&library}) {
    if (timeout <= std::chrono::seconds::zero()) return;
    thread_ = std::thread([this, &library, timeout] {
      std::unique_lock lock(mutex_);
      if (!wake_.wait_for(lock, timeout, [this] { return done_; })) {
        library.cancellable_cancel(cancellable_.get());
      }
    });
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  GCancellable* cancellable() const { return cancellable_.get(); }

 private:
  Object<GCancellable> cancellable_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

// One item as a search finds it.
struct Item {
  Object<SecretItem> item;
  std::string account;
  std::string target;  // empty: the item has none
  guint64 modified = 0;
};

class SystemKeyring final : public Keystore {
 public:
  explicit SystemKeyring(std::chrono::seconds timeout) : timeout_(timeout) {}

  Result<Secret> get(std::string_view service, std::string_view account) override;
  Result<void> put(std::string_view service, std::string_view account,
                   const Secret& secret) override;
  Result<bool> erase(std::string_view service, std::string_view account) override;
  Result<std::vector<std::string>> list(std::string_view service) override;

 private:
  Result<void> load();
  Result<void> connect(GCancellable* cancellable);
  Result<std::vector<Item>> search(const std::string& service,
                                   const std::optional<std::string>& account, bool secrets,
                                   GCancellable* cancellable);
  Result<void> store(const std::string& service, const std::string& account, SecretValue* value,
                     GCancellable* cancellable);
  std::string attribute(SecretItem* item, const char* name) const;
  Error take_error(GError* error, std::string what) const;

  std::chrono::seconds timeout_;
  std::optional<Library> library_;
  std::unique_ptr<::SecretService, detail::ObjectDeleter> service_{nullptr, {nullptr}};
};

// Turns GLib's error into ours and frees it.
Error SystemKeyring::take_error(GError* error, std::string what) const {
  if (error == nullptr) return Error{Side::self, ErrorCode::io, what + " failed", {}};
  const OnExit freed([&] { library_->error_free(error); });
  if (library_->error_matches(error, library_->io_error_quark(), G_IO_ERROR_CANCELLED)) {
    return Error{
        Side::self, ErrorCode::timeout,
        what + ": the keyring did not answer within " + std::to_string(timeout_.count()) +
            " s (is it waiting to be unlocked?)",
        "unlock the keyring, raise NONO_KEYRING_TIMEOUT_SECS, or " + std::string(other_sources)};
  }
  library_->error_strip(error);
  return Error{Side::self, ErrorCode::io, what + ": " + error->message, {}};
}

// Opens the library, once. Without a session bus not even that.
Result<void> SystemKeyring::load() {
  if (library_) return {};
  if (!session_bus_exists()) {
    return fail(ErrorCode::not_supported,
                "there is no keyring here: no D-Bus session bus (DBUS_SESSION_BUS_ADDRESS is not "
                "set)",
                std::string(other_sources));
  }
  Result<Library> opened = detail::open_library();
  if (!opened) return fail(opened.error());
  library_ = *opened;
  return {};
}

Result<void> SystemKeyring::connect(GCancellable* cancellable) {
  if (service_) return {};
  GError* error = nullptr;
  // Opening a session asks the service itself, so a bus without a keyring shows here.
  ::SecretService* service =
      library_->service_get(SECRET_SERVICE_OPEN_SESSION, cancellable, &error);
  if (service == nullptr) {
    Error failure = take_error(error, "the keyring cannot be reached");
    if (failure.code == ErrorCode::io) {
      failure.code = ErrorCode::not_supported;
      failure.fix =
          "start a Secret Service (gnome-keyring, KWallet), or " + std::string(other_sources);
    }
    return fail(std::move(failure));
  }
  service_ = {service, {&*library_}};
  return {};
}

std::string SystemKeyring::attribute(SecretItem* item, const char* name) const {
  const Table attributes(library_->item_attributes(item), {&*library_});
  if (!attributes) return {};
  const auto* text = static_cast<const char*>(library_->hash_lookup(attributes.get(), name));
  return text == nullptr ? std::string() : std::string(text);
}

// Matches service and account without a schema, so that items of every writer are found, and drops
// those with a target that is not ours. Best first: a target before none, then the newest.
Result<std::vector<Item>> SystemKeyring::search(const std::string& service,
                                                const std::optional<std::string>& account,
                                                bool secrets, GCancellable* cancellable) {
  // The table borrows its strings; they and it live in this function.
  const Table attributes(library_->hash_new(library_->str_hash, library_->str_equal), {&*library_});
  std::string service_key = "service", account_key = "username";
  std::string service_text = service, account_text = account.value_or("");
  library_->hash_insert(attributes.get(), service_key.data(), service_text.data());
  if (account) library_->hash_insert(attributes.get(), account_key.data(), account_text.data());

  int flags = SECRET_SEARCH_ALL;
  if (secrets) flags |= SECRET_SEARCH_UNLOCK | SECRET_SEARCH_LOAD_SECRETS;
  GError* error = nullptr;
  GList* found =
      library_->service_search(service_.get(), nullptr, attributes.get(),
                               static_cast<SecretSearchFlags>(flags), cancellable, &error);
  if (error != nullptr) return fail(take_error(error, "searching the keyring"));

  std::vector<Item> items;
  for (GList* node = found; node != nullptr; node = node->next) {
    auto* raw = static_cast<SecretItem*>(node->data);
    Item item{Object<SecretItem>(raw, {&*library_}), attribute(raw, "username"),
              attribute(raw, "target"), library_->item_modified(raw)};
    if (item.target.empty() || item.target == "default") items.push_back(std::move(item));
  }
  library_->list_free(found);
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    if (a.target.empty() != b.target.empty()) return b.target.empty();
    return a.modified > b.modified;
  });
  return items;
}

Result<Secret> SystemKeyring::get(std::string_view service, std::string_view account) {
  if (Result<void> loaded = load(); !loaded) return fail(loaded.error());
  const Watchdog watchdog(*library_, timeout_);
  if (Result<void> connected = connect(watchdog.cancellable()); !connected) {
    return fail(connected.error());
  }
  Result<std::vector<Item>> items =
      search(std::string(service), std::string(account), true, watchdog.cancellable());
  if (!items) return fail(items.error());
  for (const Item& item : *items) {
    const Value value(library_->item_secret(item.item.get()), {&*library_});
    if (!value) continue;
    gsize size = 0;
    const gchar* bytes = library_->value_get(value.get(), &size);
    return Secret(std::string_view(bytes, size));
  }
  if (!items->empty()) {
    return fail(ErrorCode::not_supported,
                "the keyring is locked, so '" + std::string(account) + "' cannot be read",
                "unlock the keyring, or " + std::string(other_sources));
  }
  return fail(ErrorCode::secret_missing, "the keyring has no '" + std::string(account) +
                                             "' under service '" + std::string(service) + "'");
}

Result<void> SystemKeyring::store(const std::string& service, const std::string& account,
                                  SecretValue* value, GCancellable* cancellable) {
  const Table attributes(library_->hash_new(library_->str_hash, library_->str_equal), {&*library_});
  std::string service_key = "service", account_key = "username", target_key = "target";
  std::string service_text = service, account_text = account, target_text = "default";
  library_->hash_insert(attributes.get(), service_key.data(), service_text.data());
  library_->hash_insert(attributes.get(), account_key.data(), account_text.data());
  library_->hash_insert(attributes.get(), target_key.data(), target_text.data());
  const std::string label = service + ": " + account;
  GError* error = nullptr;
  if (!library_->service_store(service_.get(), nullptr, attributes.get(), SECRET_COLLECTION_DEFAULT,
                               label.c_str(), value, cancellable, &error)) {
    return fail(take_error(error, "storing '" + account + "' in the keyring"));
  }
  return {};
}

// Changes the item that get() would read, whoever stored it, and removes the others, so that no
// stale key is left; makes a new one where there is none.
Result<void> SystemKeyring::put(std::string_view service, std::string_view account,
                                const Secret& secret) {
  if (Result<void> loaded = load(); !loaded) return loaded;
  const Watchdog watchdog(*library_, timeout_);
  if (Result<void> connected = connect(watchdog.cancellable()); !connected) return connected;
  Result<std::vector<Item>> items =
      search(std::string(service), std::string(account), true, watchdog.cancellable());
  if (!items) return fail(items.error());

  const std::string_view bytes = secret.expose();
  const Value value(
      library_->value_new(bytes.data(), static_cast<gssize>(bytes.size()), "text/plain"),
      {&*library_});
  if (items->empty()) {
    return store(std::string(service), std::string(account), value.get(), watchdog.cancellable());
  }
  for (std::size_t i = 0; i < items->size(); ++i) {
    SecretItem* item = (*items)[i].item.get();
    GError* error = nullptr;
    const bool done =
        i == 0 ? library_->item_set_secret(item, value.get(), watchdog.cancellable(), &error) != 0
               : library_->item_delete(item, watchdog.cancellable(), &error) != 0;
    if (!done) {
      return fail(take_error(error, "storing '" + std::string(account) + "' in the keyring"));
    }
  }
  return {};
}

Result<bool> SystemKeyring::erase(std::string_view service, std::string_view account) {
  if (Result<void> loaded = load(); !loaded) return fail(loaded.error());
  const Watchdog watchdog(*library_, timeout_);
  if (Result<void> connected = connect(watchdog.cancellable()); !connected) {
    return fail(connected.error());
  }
  Result<std::vector<Item>> items =
      search(std::string(service), std::string(account), false, watchdog.cancellable());
  if (!items) return fail(items.error());
  for (const Item& item : *items) {
    GError* error = nullptr;
    if (!library_->item_delete(item.item.get(), watchdog.cancellable(), &error)) {
      return fail(take_error(error, "removing '" + std::string(account) + "' from the keyring"));
    }
  }
  return !items->empty();
}

Result<std::vector<std::string>> SystemKeyring::list(std::string_view service) {
  if (Result<void> loaded = load(); !loaded) return fail(loaded.error());
  const Watchdog watchdog(*library_, timeout_);
  if (Result<void> connected = connect(watchdog.cancellable()); !connected) {
    return fail(connected.error());
  }
  Result<std::vector<Item>> items =
      search(std::string(service), std::nullopt, false, watchdog.cancellable());
  if (!items) return fail(items.error());
  std::vector<std::string> accounts;
  for (const Item& item : *items) {
    if (!item.account.empty()) accounts.push_back(item.account);
  }
  std::sort(accounts.begin(), accounts.end());
  accounts.erase(std::unique(accounts.begin(), accounts.end()), accounts.end());
  return accounts;
}

}  // namespace

std::unique_ptr<Keystore> open_system_keystore(std::chrono::seconds timeout) {
  return std::make_unique<SystemKeyring>(timeout);
}

}  // namespace nono::keystore
