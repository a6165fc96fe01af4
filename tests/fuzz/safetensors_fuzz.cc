// safetensors headers, with mutations that keep the length prefix true to the JSON most of the time.
// Oracles beyond "no crash": the reader accepts exactly what a second, slow validator accepts; every view is inside the
// file and ends readable. Inputs that are JSON also run through the shard index parser.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/artifact/hf_checkpoint.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/base/limits.h"

namespace {

using namespace bitrate;
using nlohmann::json;

void Require(bool condition) {
  if (!condition) std::abort();
}

// Bytes of an element, 0 for a dtype that does not exist.
uint64_t ElementBytes(const std::string& dtype) {
  for (const char* one : {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"}) {
    if (dtype == one) return 1;
  }
  for (const char* two : {"U16", "I16", "F16", "BF16"}) {
    if (dtype == two) return 2;
  }
  for (const char* four : {"U32", "I32", "F32"}) {
    if (dtype == four) return 4;
  }
  for (const char* eight : {"U64", "I64", "F64"}) {
    if (dtype == eight) return 8;
  }
  return 0;
}

// The document, or discarded where it is malformed or an object of the outer two levels repeats a key.
json ParseStrict(std::string_view text) {
  bool repeated = false;
  std::vector<std::set<std::string>> keys;
  const auto callback = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const std::string& key = value.get_ref<const std::string&>();
      // Keys inside __metadata__ may repeat.
      const bool inserted = keys.back().insert(key).second;
      repeated |= !inserted && (keys.size() == 1 || !keys.front().contains("\xff in metadata"));
      if (keys.size() == 1) {
        keys.front().erase("\xff in metadata");
        if (key == "__metadata__") keys.front().insert("\xff in metadata");
      }
    }
    (void)depth;
    return true;
  };
  json document = json::parse(text.begin(), text.end(), callback, /*allow_exceptions=*/false);
  return repeated ? json(json::value_t::discarded) : document;
}

bool AcceptsTensor(const std::string& name, const json& entry, std::vector<std::array<uint64_t, 2>>* ranges) {
  if (name.empty() || name.size() > limits::kMaxTensorNameBytes || name.find('\0') != std::string::npos) return false;
  if (!entry.is_object() || entry.size() != 3) return false;
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!entry.contains(field)) return false;
  }
  const json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  if (!dtype.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2) return false;
  if (shape.size() > static_cast<size_t>(limits::kMaxTensorDims)) return false;
  unsigned __int128 bytes = ElementBytes(dtype.get<std::string>());
  if (bytes == 0) return false;
  unsigned __int128 elements = 1;
  for (const json& dim : shape) {
    if (!dim.is_number_unsigned() || dim.get<uint64_t>() > static_cast<uint64_t>(limits::kMaxTensorElements))
      return false;
    elements *= dim.get<uint64_t>();
    if (elements > static_cast<uint64_t>(limits::kMaxTensorElements)) return false;
  }
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) return false;
  const uint64_t begin = offsets[0], end = offsets[1];
  if (begin > end || end - begin != elements * bytes) return false;
  ranges->push_back({begin, end});
  return true;
}

bool SlowAccepts(std::span<const uint8_t> file) {
  uint64_t length = 0;
  if (file.size() < 8) return false;
  std::memcpy(&length, file.data(), 8);
  if (length > limits::kMaxSafetensorsHeaderBytes || length > file.size() - 8) return false;
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (text.empty() || text[0] != '{') return false;
  const json document = ParseStrict(text);
  if (document.is_discarded() || !document.is_object()) return false;
  std::vector<std::array<uint64_t, 2>> ranges;
  for (const auto& [name, entry] : document.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object() || entry.size() > limits::kMaxMetadataEntries) return false;
      for (const json& value : entry) {
        if (!value.is_string()) return false;
      }
    } else if (!AcceptsTensor(name, entry, &ranges)) {
      return false;
    }
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t next = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != next) return false;
    next = end;
  }
  return ranges.size() <= limits::kMaxTensors && next == file.size() - 8 - length;
}

}  // namespace

// libFuzzer's own; absent where the corpus runs as a test.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  uint64_t length = 0;
  if (size >= 8) std::memcpy(&length, data, 8);
  if (size < 10 || length > size - 8 || max_size < size + 64 || seed % 8 == 0)
    return LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 1) {  // the data only, or their size
    return 8 + length + LLVMFuzzerMutate(data + 8 + length, size - 8 - length, max_size - 8 - length);
  }
  const std::vector<uint8_t> tail(data + 8 + length, data + size);
  length = LLVMFuzzerMutate(data + 8, length, max_size - 8 - tail.size());
  std::copy(tail.begin(), tail.end(), data + 8 + length);
  std::memcpy(data, &length, 8);
  return 8 + length + tail.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span file(data, size);
  const auto parsed = SafetensorsFile::FromMapping(MappedFile::FromBytes("fuzz.safetensors", std::as_bytes(file)));
  Require(parsed.ok() == SlowAccepts(file));
  if (parsed.ok()) {
    for (const SafetensorsTensor& tensor : (*parsed)->tensors()) {
      Require(tensor.begin <= tensor.end && tensor.end <= size);
      const auto bytes = (*parsed)->Bytes(tensor);
      volatile std::byte touched{};
      if (!bytes.empty()) touched = bytes.front() ^ bytes.back();
      (void)touched;
      (void)(*parsed)->Floats(tensor.name);
    }
  } else {
    Require(parsed.status().code() != StatusCode::kInternal && !parsed.status().message().empty());
  }
  if (size > 0 && data[0] == '{') (void)ParseShardIndex({reinterpret_cast<const char*>(data), size});
  return 0;
}
