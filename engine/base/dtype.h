// Element types of plain (unblocked) tensors. Quantized storage is described by engine/format/quant_format.h.
#ifndef BITRATE_ENGINE_BASE_DTYPE_H_
#define BITRATE_ENGINE_BASE_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitrate {

enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI8, kU8, kI16, kU16, kI32, kU32, kI64, kU64, kBool };

constexpr size_t DTypeBytes(DType type) {
  switch (type) {
    case DType::kF64:
    case DType::kI64:
    case DType::kU64:
      return 8;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
    case DType::kU16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  return 0;
}

constexpr std::string_view DTypeName(DType type) {
  switch (type) {
    case DType::kF64:
      return "f64";
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kI64:
      return "i64";
    case DType::kU64:
      return "u64";
    case DType::kI32:
      return "i32";
    case DType::kU32:
      return "u32";
    case DType::kI16:
      return "i16";
    case DType::kU16:
      return "u16";
    case DType::kI8:
      return "i8";
    case DType::kU8:
      return "u8";
    case DType::kBool:
      return "bool";
  }
  return "?";
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_DTYPE_H_
