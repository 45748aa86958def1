#include "proxy/intercept/field_values.hpp"

#include <algorithm>

namespace nono::intercept {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

bool is_zero_weight(std::string_view parameter) {
  const std::string text = lower(trim(parameter));
  if (!text.starts_with("q=0")) return false;
  return text.find_first_not_of("0.", 2) == text.npos;
}

ListItem read_item(std::string_view text) {
  const std::size_t semicolon = text.find(';');
  ListItem item;
  item.token = lower(trim(text.substr(0, semicolon)));
  if (semicolon != text.npos) item.refused = is_zero_weight(text.substr(semicolon + 1));
  return item;
}

}  // namespace

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::vector<ListItem> list_items(const http::Fields& fields, std::string_view name) {
  std::vector<ListItem> items;
  for (const http::Field& field : fields.all()) {
    if (!http::equal_name(field.name, name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      items.push_back(read_item(rest.substr(0, comma)));
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return items;
}

}  // namespace nono::intercept
