#pragma once
// Telling systemd that the proxy is ready (sd_notify(3)), without its library.

#include <string_view>

#include "config/profile.hpp"

namespace nono::cli {

// One datagram to $NOTIFY_SOCKET where that is set; silently nothing otherwise.
void notify_systemd(std::string_view state, const EnvLookup& env);

}  // namespace nono::cli
