// Profiles, as JSON and as YAML: all that is wrong is told with its place, and our JSON syntax is
// the one that everybody reads, but for comments and trailing commas.
#include <nlohmann/json.hpp>

#include "config/base/encoding.hpp"
#include "config/json_syntax.hpp"
#include "config/profile.hpp"
#include "tests/fuzz/configs.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

// The other reader keeps numbers as such, and says that of one no double can hold. Its syntax is
// fine.
bool is_json_for_others(const std::string& text) {
  try {
    return !nlohmann::json::parse(text).is_discarded();
  } catch (const nlohmann::json::out_of_range&) {
    return true;
  } catch (const nlohmann::json::parse_error&) {
    return false;
  }
}

void try_syntax(std::string_view text) {
  if (utf8_prefix(text) != text.size()) return;  // refused before anything looks at its syntax
  const auto yaml = json_to_yaml(text);
  if (yaml) {
    expect(yaml->size() == text.size());
    expect(is_json_for_others(*yaml));
    const auto again = json_to_yaml(*yaml);
    expect(again.has_value() && *again == *yaml);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_syntax(text);
  for (const std::string file : {"/nowhere/p.json", "/nowhere/p.yaml"}) {
    const auto settings = parse_profile(text, file, nobody());
    if (!settings) expect_told(settings.error(), file);
  }
  return 0;
}
