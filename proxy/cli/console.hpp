#pragma once
// What nono says to the person who runs it. Everything but asked-for output goes to stderr.

#include <string>
#include <string_view>

#include "config/base/error.hpp"
#include "config/base/printable.hpp"
#include "proxy/cli/options.hpp"

namespace nono::cli {

inline constexpr int exit_error = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_no_sandbox = 125;

// "nono: WHAT; FIX" on stderr. Returns `code`, so that commands can `return complain(...)`.
int complain(const Error& error, int code = exit_error);
int complain(std::string_view message, int code = exit_error);

// "nono: warning: TEXT" on stderr, unless silent.
void warn(const CommonOptions& common, std::string_view text);

void print_out(std::string_view text);  // stdout, flushed
void print_err(std::string_view text);

bool stderr_is_terminal();
bool stdin_is_terminal();

// Asks on the terminal; only "y" and "yes" are yes.
bool ask(std::string_view question);

}  // namespace nono::cli
