#pragma once
// Reading the values of header fields that are lists (RFC 9110 5.6.1).

#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/head.hpp"

namespace nono::intercept {

struct ListItem {
  std::string token;     // lower case
  bool refused = false;  // weight q=0
};

// The items of all fields called `name`, in order.
std::vector<ListItem> list_items(const http::Fields& fields, std::string_view name);

std::string_view trim(std::string_view text);  // of spaces and tabs

}  // namespace nono::intercept
