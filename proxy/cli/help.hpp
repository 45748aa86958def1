#pragma once
// Texts of --help that no parser can make: the overview and each command's examples.

#include <string>
#include <string_view>

namespace nono::cli {

std::string overview_text();
std::string_view run_examples();
std::string_view proxy_examples();
std::string_view key_examples();
std::string_view session_examples();
std::string_view audit_examples();

}  // namespace nono::cli
