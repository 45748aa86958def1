#pragma once
// A Record as one line of JSON, and the escaping that every JSON text of the proxy shares.

#include <string>
#include <string_view>

#include "proxy/audit/record.hpp"

namespace nono::audit {

std::string_view to_string(Kind kind);
std::string_view to_string(Way way);

// Appends `text` as a JSON string with its quotes. Bytes above 0x7e are written as \u00XX: names
// and paths are ASCII by then, and whatever else a client sent stays readable and valid.
void append_json_string(std::string& out, std::string_view text);

// The record as a JSON object without its closing brace and without the chain, which the log adds.
// Empty and zero fields are left out; docs/audit.md names them all.
std::string format_open(const Record& record, std::uint64_t sequence);

}  // namespace nono::audit
