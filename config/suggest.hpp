#pragma once
// "Did you mean ...": the known word nearest to a mistyped one.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nono {

// The choice at a Damerau-Levenshtein distance of at most two (one for words shorter than five,
// case ignored), otherwise one that `word` (three letters or more) begins; nothing where none is
// near.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& choices);

// "; did you mean X?" where something is near, otherwise "; known: a, b, c" for at most twelve
// choices, otherwise nothing.
std::string suggestion(std::string_view word, const std::vector<std::string>& choices);

}  // namespace nono
