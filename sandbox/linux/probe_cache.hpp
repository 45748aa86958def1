#pragma once
// Remembers in a file what was found out about this machine by doing it.

#include <string>

#include "sandbox/backend_choice.hpp"

namespace nono::sandbox {

// What such a finding holds for: this boot, this program's file, this user. Empty where one of them
// cannot be told.
std::string probe_identity();

Findings recall(const std::string& file, const std::string& identity);
// Makes the folders that are missing. Where it cannot be written, the next run finds out again.
void remember(const std::string& file, const std::string& identity, const Findings& findings);
void forget(const std::string& file);

}  // namespace nono::sandbox
