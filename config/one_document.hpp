#pragma once
// A first reading of a YAML text, which builds nothing. Internal to config/.

#include <cstddef>
#include <optional>
#include <string>

namespace nono::document {

// What is wrong with `yaml` as "LINE:COLUMN: TEXT", or nothing where it is one document with at
// most `nodes_max` nodes, aliases counting once. Takes time and memory in proportion to the text,
// which building a tree does not: yaml-cpp gives a document for ever at text that it cannot get
// past ("," is enough), and its trees are far larger than what they are made of. Throws what
// yaml-cpp throws.
std::optional<std::string> not_one_document(const std::string& yaml, std::size_t nodes_max);

}  // namespace nono::document
