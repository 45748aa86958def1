#pragma once
// Boost.Beast's parser as a second reader of heads: what proxy/http accepts, it must read alike.

#include <optional>
#include <string_view>
#include <vector>

#include "proxy/http/head.hpp"

namespace nono::test {

// Every field of a head, framing fields too; nothing where Beast refuses the head.
std::optional<std::vector<http::Field>> fields_of_request(std::string_view bytes);
std::optional<std::vector<http::Field>> fields_of_response(std::string_view bytes);

// Whether `ours` is `theirs` without Content-Length and Transfer-Encoding, which may be missing.
bool same_but_for_framing(const http::Fields& ours, const std::vector<http::Field>& theirs);

}  // namespace nono::test
