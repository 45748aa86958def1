#include "keystore/libsecret_library.hpp"

#include <dlfcn.h>

namespace nono::keystore::detail {

namespace {

// dlsym on libsecret's handle searches what it depends on as well, so GLib needs no handle of its
// own.
template <class F>
bool find(void* handle, const char* name, F& function) {
  function = reinterpret_cast<F>(::dlsym(handle, name));
  return function != nullptr;
}

}  // namespace

Result<Library> open_library() {
  void* handle = ::dlopen("libsecret-1.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    return fail(ErrorCode::not_supported, "libsecret-1.so.0 is not installed",
                "install it (Debian: apt install libsecret-1-0), or use env://VAR or file:///path");
  }
  Library library;
  bool complete = find(handle, "secret_service_get_sync", library.service_get) &&
                  find(handle, "secret_service_search_sync", library.service_search) &&
                  find(handle, "secret_service_store_sync", library.service_store) &&
                  find(handle, "secret_item_get_attributes", library.item_attributes) &&
                  find(handle, "secret_item_get_modified", library.item_modified) &&
                  find(handle, "secret_item_get_secret", library.item_secret) &&
                  find(handle, "secret_item_set_secret_sync", library.item_set_secret) &&
                  find(handle, "secret_item_delete_sync", library.item_delete) &&
                  find(handle, "secret_value_new", library.value_new) &&
                  find(handle, "secret_value_get", library.value_get) &&
                  find(handle, "secret_value_unref", library.value_unref) &&
                  find(handle, "g_hash_table_new", library.hash_new) &&
                  find(handle, "g_hash_table_insert", library.hash_insert) &&
                  find(handle, "g_hash_table_lookup", library.hash_lookup) &&
                  find(handle, "g_hash_table_unref", library.hash_unref) &&
                  find(handle, "g_str_hash", library.str_hash) &&
                  find(handle, "g_str_equal", library.str_equal) &&
                  find(handle, "g_object_unref", library.object_unref) &&
                  find(handle, "g_list_free", library.list_free) &&
                  find(handle, "g_error_free", library.error_free) &&
                  find(handle, "g_error_matches", library.error_matches) &&
                  find(handle, "g_dbus_error_strip_remote_error", library.error_strip) &&
                  find(handle, "g_io_error_quark", library.io_error_quark) &&
                  find(handle, "g_cancellable_new", library.cancellable_new) &&
                  find(handle, "g_cancellable_cancel", library.cancellable_cancel);
  if (!complete) {
    return fail(ErrorCode::not_supported, "this libsecret-1.so.0 lacks functions nono needs",
                "use env://VAR or file:///path");
  }
  return library;
}

}  // namespace nono::keystore::detail
