// Profiles, as JSON and as YAML: all that is wrong is told with its place, and our JSON syntax is
// the one that everybody reads, but for comments and trailing commas.
#include <nlohmann/json.hpp>

#include "config/json_syntax.hpp"
#include "config/profile.hpp"
#include "tests/fuzz/configs.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

void try_syntax(std::string_view text) {
  const auto yaml = json_to_yaml(text);
  if (yaml) {
    expect(yaml->size() == text.size());
    expect(nlohmann::json::accept(*yaml));
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
