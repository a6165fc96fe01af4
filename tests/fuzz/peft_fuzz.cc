// A PEFT adapter: adapter_config.json, a NUL byte, then adapter_model.safetensors. Oracles beyond "no crash": what is
// accepted is whole and consistent with what its config says, and a refusal says why.
#include <algorithm>
#include <cstdlib>

#include "engine/artifact/peft_adapter.h"
#include "engine/base/limits.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitrate;
  const uint8_t* const end = data + size;
  const uint8_t* const middle = std::find(data, end, uint8_t{0});
  const std::string_view config(reinterpret_cast<const char*>(data), static_cast<size_t>(middle - data));
  const std::span<const uint8_t> rest(middle == end ? end : middle + 1, end);
  const auto file = SafetensorsFile::FromMapping(MappedFile::FromBytes("fuzz", std::as_bytes(rest)));
  if (!file.ok()) {
    const auto parsed = PeftConfig::Parse(config);
    if (parsed.ok()) (void)parsed->Targets("model.layers.0.self_attn.q_proj");
    return 0;
  }
  const auto adapter = MakePeftAdapter("fuzz", config, **file);
  if (!adapter.ok()) {
    Require(adapter.status().code() != StatusCode::kInternal && !adapter.status().message().empty());
    return 0;
  }
  size_t tensors = 0;
  Require(!adapter->modules.empty());
  for (const LoraModule& module : adapter->modules) {
    Require(module.rank >= 1 && module.rank <= limits::kMaxAdapterRank && module.k > 0 && module.n > 0);
    Require(static_cast<int64_t>(module.a.size()) == module.rank * module.k);
    Require(static_cast<int64_t>(module.b.size()) == module.n * module.rank);
    Require(module.bias.empty() || static_cast<int64_t>(module.bias.size()) == module.n);
    const auto targeted = adapter->config.Targets(module.name);
    Require(targeted.ok() && *targeted);
    tensors += module.bias.empty() ? 2 : 3;
  }
  Require(tensors == (*file)->tensors().size());  // nothing was skipped
  return 0;
}
