#include "engine/format/precision.h"

#include <array>
#include <optional>

namespace bitrate {
namespace {

constexpr std::string_view kForms =
    "fp32, bf16, fp16, int8, int8-token, int8-w8a16, int4[-g32|-g64|-g128][-sym|-asym|-min][-w4a16], nf4 or native";
constexpr int kDefaultInt4Group = 64;  // 576, a common small hidden size, is not a multiple of 128

struct PlainName {
  std::string_view name;
  Precision::Kind kind;
  Precision::Activations activations;
};
constexpr std::array<PlainName, 8> kPlainNames = {{
    {"fp32", Precision::Kind::kFp32, Precision::Activations::kFloat},
    {"bf16", Precision::Kind::kBf16, Precision::Activations::kFloat},
    {"fp16", Precision::Kind::kFp16, Precision::Activations::kFloat},
    {"int8", Precision::Kind::kInt8, Precision::Activations::kInt8Groups},
    {"int8-token", Precision::Kind::kInt8, Precision::Activations::kInt8Token},
    {"int8-w8a16", Precision::Kind::kInt8, Precision::Activations::kFloat},
    {"nf4", Precision::Kind::kNf4, Precision::Activations::kFloat},
    {"native", Precision::Kind::kNative, Precision::Activations::kInt8Groups},
}};

bool Consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// `suffix` is what follows "int4".
std::optional<Precision> ParseInt4(std::string_view suffix) {
  Precision p;
  p.kind = Precision::Kind::kInt4;
  p.activations = Precision::Activations::kInt8Groups;
  p.group_size = kDefaultInt4Group;
  p.keep_source_grid = true;
  for (int group : {32, 64, 128}) {
    if (Consume(suffix, fmt::format("-g{}", group))) {
      p.group_size = group;
      p.keep_source_grid = false;
      break;
    }
  }
  if (Consume(suffix, "-sym")) {
    p.keep_source_grid = false;
  } else if (Consume(suffix, "-asym")) {
    p.offset = Int4Offset::kZero;
    p.keep_source_grid = false;
  } else if (Consume(suffix, "-min")) {
    p.offset = Int4Offset::kMin;
    p.keep_source_grid = false;
  }
  if (Consume(suffix, "-w4a16")) p.activations = Precision::Activations::kFloat;
  if (!suffix.empty()) return std::nullopt;
  return p;
}

}  // namespace

StatusOr<Precision> Precision::Parse(std::string_view name) {
  for (const PlainName& plain : kPlainNames) {
    if (name != plain.name) continue;
    Precision p;
    p.kind = plain.kind;
    p.activations = plain.activations;
    return p;
  }
  std::string_view rest = name;
  if (Consume(rest, "int4")) {
    if (std::optional<Precision> p = ParseInt4(rest)) return *p;
  }
  return InvalidArgument("precision '{}' is unknown; want {}", name, kForms);
}

std::string Precision::Name() const {
  for (const PlainName& plain : kPlainNames) {
    if (plain.kind == kind && plain.activations == activations) return std::string(plain.name);
  }
  std::string name = "int4";
  if (!keep_source_grid) {
    name += fmt::format("-g{}", group_size);
    if (offset == Int4Offset::kZero) name += "-asym";
    if (offset == Int4Offset::kMin) name += "-min";
  }
  if (activations == Activations::kFloat) name += "-w4a16";
  return name;
}

std::string_view Precision::ActivationName() const {
  if (kind == Kind::kNative) return "native";
  switch (activations) {
    case Activations::kFloat:
      return kind == Kind::kBf16 ? "bf16" : "f32";
    case Activations::kInt8Groups:
      return "int8-group";
    case Activations::kInt8Token:
      return "int8-token";
  }
  return "?";
}

}  // namespace bitrate
