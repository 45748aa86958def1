#pragma once
// A Record as one line of JSON, and the escaping that every JSON text of the proxy shares.

#include <chrono>
#include <string>
#include <string_view>

#include "proxy/audit/record.hpp"

namespace nono::audit {

std::string_view to_string(Kind kind);
std::string_view to_string(Way way);

// Appends `string` as a JSON string with its quotes. Bytes above 0x7e are written as \u00XX: names
// and paths are ASCII by then, and whatever else a client sent stays readable and valid.
void append_json_string(std::string& out, std::string_view string);

// A line is a JSON object, put together from its number, what it says, and the chain (chain.hpp),
// which closes it. Appends the number, with the opening brace.
void append_number(std::string& out, std::uint64_t sequence);
// All that the record says, written to `room`, which grows where it must and keeps its size for the
// next one. Empty and zero fields are left out; docs/audit.md names them all.
std::string_view record_text(std::string& room, const Record& record);

// What the log has to say about itself, in a line of its own.
struct Note {
  std::string continues;             // the chain value of the last line of the file before this one
  std::uint64_t lost = 0;            // records that could not be written before this line
  std::string fragment;              // the begin of an incomplete line that was taken away
  std::uint64_t fragment_bytes = 0;  // its length in the file
  bool empty() const { return continues.empty() && lost == 0 && fragment_bytes == 0; }
};
void append_note(std::string& out, const Note& note, std::chrono::system_clock::time_point time);

}  // namespace nono::audit
