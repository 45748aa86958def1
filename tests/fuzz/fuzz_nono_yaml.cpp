// nono.yaml: whatever is in it, it is read whole or refused with what is wrong.
#include "config/proxy_config.hpp"
#include "tests/fuzz/configs.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nono;
  using namespace nono::fuzz;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string file = "/nowhere/nono.yaml";
  const auto config = parse_proxy_config(text, file, nobody());
  if (!config) {
    expect_told(config.error(), file);
    return 0;
  }
  expect(config->ca_cert.has_value() == config->ca_key.has_value());
  if (config->threads) expect(*config->threads > 0);
  if (config->limits.connections_max) expect(*config->limits.connections_max > 0);
  if (config->limits.head_time_max) expect(config->limits.head_time_max->count() > 0);
  return 0;
}
