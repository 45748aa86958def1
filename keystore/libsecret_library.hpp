#pragma once
// libsecret and GLib, opened with dlopen, and RAII for what they hand out. Only libsecret.cpp uses
// it.

#include <libsecret/secret.h>

#include <memory>
#include <string>

#include "config/base/error.hpp"

namespace nono::keystore::detail {

// The functions that the keyring needs. The types come from the headers, the addresses from dlsym.
struct Library {
  decltype(&::secret_service_get_sync) service_get = nullptr;
  decltype(&::secret_service_search_sync) service_search = nullptr;
  decltype(&::secret_service_store_sync) service_store = nullptr;
  decltype(&::secret_item_get_attributes) item_attributes = nullptr;
  decltype(&::secret_item_get_modified) item_modified = nullptr;
  decltype(&::secret_item_get_secret) item_secret = nullptr;
  decltype(&::secret_item_set_secret_sync) item_set_secret = nullptr;
  decltype(&::secret_item_delete_sync) item_delete = nullptr;
  decltype(&::secret_value_new) value_new = nullptr;
  decltype(&::secret_value_get) value_get = nullptr;
  decltype(&::secret_value_unref) value_unref = nullptr;
  decltype(&::g_hash_table_new) hash_new = nullptr;
  decltype(&::g_hash_table_insert) hash_insert = nullptr;
  decltype(&::g_hash_table_lookup) hash_lookup = nullptr;
  decltype(&::g_hash_table_unref) hash_unref = nullptr;
  decltype(&::g_str_hash) str_hash = nullptr;
  decltype(&::g_str_equal) str_equal = nullptr;
  decltype(&::g_object_unref) object_unref = nullptr;
  decltype(&::g_list_free) list_free = nullptr;
  decltype(&::g_error_free) error_free = nullptr;
  decltype(&::g_error_matches) error_matches = nullptr;
  decltype(&::g_dbus_error_strip_remote_error) error_strip = nullptr;
  decltype(&::g_io_error_quark) io_error_quark = nullptr;
  decltype(&::g_cancellable_new) cancellable_new = nullptr;
  decltype(&::g_cancellable_cancel) cancellable_cancel = nullptr;
};

// Opens libsecret-1.so.0. It is never closed: GLib registers types and threads that outlive a
// handle. Error: not_supported, naming the package.
Result<Library> open_library();

// The smart pointers that follow need the Library to free with.
struct ObjectDeleter {
  const Library* library;
  void operator()(void* object) const { library->object_unref(object); }
};
template <class T>
using Object = std::unique_ptr<T, ObjectDeleter>;

struct ValueDeleter {
  const Library* library;
  void operator()(SecretValue* value) const {
    library->value_unref(value);
  }  // wipes at the last one
};
using Value = std::unique_ptr<SecretValue, ValueDeleter>;

struct TableDeleter {
  const Library* library;
  void operator()(GHashTable* table) const { library->hash_unref(table); }
};
using Table = std::unique_ptr<GHashTable, TableDeleter>;

}  // namespace nono::keystore::detail
