#include "config/suggest.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace nono {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost one.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t changed = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, changed});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

constexpr std::size_t word_bytes_max = 64;  // nothing longer is a mistyped name of ours

}  // namespace

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& choices) {
  if (word.empty() || word.size() > word_bytes_max) return std::nullopt;
  std::string wanted = lower(word);
  std::size_t best = wanted.size() < 5 ? 2 : 3;  // one more than what is still near
  std::optional<std::string> found;
  for (const std::string& choice : choices) {
    if (choice.size() > word_bytes_max) continue;
    std::size_t d = distance(wanted, lower(choice));
    if (d >= best || d >= choice.size()) continue;
    best = d;
    found = choice;
  }
  if (found || wanted.size() < 3) return found;
  for (const std::string& choice : choices) {
    if (!lower(choice).starts_with(wanted)) continue;
    if (!found || choice.size() < found->size()) found = choice;
  }
  return found;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& choices) {
  if (std::optional<std::string> near = nearest(word, choices)) {
    return "; did you mean " + *near + "?";
  }
  if (choices.empty() || choices.size() > 12) return "";
  std::string text = "; known: ";
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i != 0) text += ", ";
    text += choices[i];
  }
  return text;
}

}  // namespace nono
