// The configuration reader on any bytes: settings, or a list of problems that each name the file. Whatever is accepted
// holds what the rest of the server relies on.
#include <cstdint>
#include <string_view>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "server/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitrate;
  const auto settings = ParseConfig({reinterpret_cast<const char*>(data), size}, "fuzz.yaml", {});
  if (!settings.ok()) {
    BITRATE_CHECK(settings.status().code() == StatusCode::kInvalidArgument);
    BITRATE_CHECK(settings.status().message().find("fuzz.yaml") == 0);
    return 0;
  }
  BITRATE_CHECK(!settings->models.empty());
  for (const ModelSettings& model : settings->models) {
    BITRATE_CHECK(!model.name.empty() && !model.variants.empty());
    for (const VariantSettings& variant : model.variants) BITRATE_CHECK(!variant.name.empty());
  }
  for (const RoutingRule& rule : settings->routing.rules) {
    int sum = 0;
    for (const RoutingArm& arm : rule.arms) sum += arm.weight;
    BITRATE_CHECK(sum == kBasisPoints);
  }
  return 0;
}
