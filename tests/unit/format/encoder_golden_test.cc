// The encoders against what the formats' own tools made of the same weights (tests/golden/quantizers).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/artifact/safetensors_file.h"
#include "engine/base/half.h"
#include "engine/format/block_encoder.h"
#include "engine/format/codebooks.h"
#include "engine/format/group_quant.h"

namespace bitrate {
namespace {

constexpr int64_t kN = 64, kK = 256;

class EncoderGolden : public testing::TestWithParam<const char*> {
 protected:
  static std::shared_ptr<const SafetensorsFile> File(const std::string& method) {
    auto file = SafetensorsFile::Open(std::string(BITRATE_GOLDEN_DIR "/quantizers/") + GetParam() + "/" + method +
                                      ".safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *file : nullptr;
  }
  static std::vector<float> Floats(const std::string& method, const std::string& name) {
    auto values = File(method)->Floats(name);
    EXPECT_TRUE(values.ok()) << values.status();
    return *values;
  }
  static std::span<const std::byte> Raw(const std::shared_ptr<const SafetensorsFile>& file, const std::string& name) {
    const SafetensorsTensor* tensor = file->Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    return file->Bytes(*tensor);
  }
  static std::vector<float> Weights() { return Floats("inputs", "W"); }
};

// The tools give a group of zeros a scale of their own choosing; ours is 0 (int8: 1). All of them decode to zeros.
bool AllZero(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v == 0.0f; });
}

TEST_P(EncoderGolden, Nf4) {
  const std::vector<float> weights = Weights();
  const auto file = File("bnb_nf4_b64");
  const auto packed = Raw(file, "packed");
  const std::vector<float> absmax = Floats("bnb_nf4_b64", "absmax"), code = Floats("bnb_nf4_b64", "code");
  const CodedLayout layout = Nf4Layout();
  EXPECT_EQ(layout.table, code);
  std::vector<std::byte> rows(static_cast<size_t>(kN * layout.RowBytes(kK)));
  EncodeNf4(weights, kN, kK, rows.data());
  for (int64_t row = 0; row < kN; ++row) {
    const CodedRow parts = RowParts(layout, kK, rows.data() + row * layout.RowBytes(kK));
    for (int64_t g = 0; g < kK / kNf4Block; ++g) {
      EXPECT_EQ(parts.scale[g], absmax[static_cast<size_t>(row * kK / kNf4Block + g)]);
    }
    for (int64_t i = 0; i < kK; ++i) {
      const auto byte = static_cast<uint8_t>(packed[static_cast<size_t>((row * kK + i) / 2)]);
      ASSERT_EQ(CodeAt(parts.codes, 4, i), i % 2 == 0 ? byte >> 4 : byte & 15) << row << " " << i;
    }
  }
}

TEST_P(EncoderGolden, GptqAsymmetricGrid) {
  const std::vector<float> weights = Weights();
  for (int64_t group : {32, 128}) {
    const std::string method = "rtn_gptq_b4_g" + std::to_string(group) + "_asym";
    const auto file = File(method);
    const auto codes = Raw(file, "q");
    const std::vector<float> scale = Floats(method, "scale"), zero = Floats(method, "zero");
    const Int4Matrix got = QuantizeInt4(weights, kN, kK, group, Int4Offset::kZero, ScaleStorage::kF32);
    const Int4Matrix halves = QuantizeInt4(weights, kN, kK, group, Int4Offset::kZero);
    EXPECT_FALSE(got.fp16_exact);
    ASSERT_EQ(codes.size(), got.codes.size());
    ASSERT_EQ(scale.size(), got.scale.size());
    for (size_t g = 0; g < scale.size(); ++g) {
      const size_t begin = g * static_cast<size_t>(group);
      if (AllZero(std::span(weights).subspan(begin, static_cast<size_t>(group)))) {
        EXPECT_EQ(got.scale[g], 0.0f);
        continue;
      }
      EXPECT_EQ(got.scale[g], scale[g]);
      EXPECT_EQ(static_cast<float>(got.zero[g]), zero[g]);
      EXPECT_EQ(halves.scale[g], ToFloat(ToFp16(scale[g])));
      EXPECT_EQ(std::memcmp(codes.data() + begin, got.codes.data() + begin, static_cast<size_t>(group)), 0) << g;
    }
  }
}

// Codes may differ by one where the quotient is as good as a half: the tools multiply by a reciprocal.
void ExpectInt8Codes(std::span<const std::byte> want, const Int8Matrix& got, const std::vector<float>& weights) {
  ASSERT_EQ(want.size(), got.codes.size());
  for (size_t i = 0; i < got.codes.size(); ++i) {
    const float quotient = weights[i] / got.scale[i / kK];
    const float fraction = std::fabs(quotient - std::trunc(quotient));
    const int slack = std::fabs(fraction - 0.5f) < 1e-5f ? 1 : 0;
    EXPECT_LE(std::abs(static_cast<int8_t>(want[i]) - got.codes[i]), slack) << i << " quotient " << quotient;
  }
}

TEST_P(EncoderGolden, BitsandbytesInt8) {
  std::vector<float> weights = Weights();
  for (float& w : weights) w = ToFloat(ToFp16(w));  // the tool quantizes float16
  const Int8Matrix got = QuantizeInt8(weights, kN, kK, kK);
  const std::vector<float> row_max = Floats("bnb_int8", "SCB");
  for (size_t i = 0; i < row_max.size(); ++i) EXPECT_EQ(got.scale[i], row_max[i] == 0 ? 1 : row_max[i] / 127.0f) << i;
  const auto file = File("bnb_int8");
  ExpectInt8Codes(Raw(file, "q"), got, weights);
}

TEST_P(EncoderGolden, SmoothQuantInt8) {
  std::vector<float> weights = Weights();
  const std::vector<float> smooth = Floats("smoothquant_a50", "smooth_scale");
  for (size_t i = 0; i < weights.size(); ++i) weights[i] *= smooth[i % kK];
  const Int8Matrix got = QuantizeInt8(weights, kN, kK, kK);
  const std::vector<float> scale = Floats("smoothquant_a50", "w_scale");
  for (size_t row = 0; row < scale.size(); ++row) {
    const bool zero = AllZero(std::span(weights).subspan(row * kK, kK));
    EXPECT_EQ(got.scale[row], zero ? 1.0f : scale[row]) << row;
  }
  const auto file = File("smoothquant_a50");
  ExpectInt8Codes(Raw(file, "q"), got, weights);
}

TEST_P(EncoderGolden, GgmlBlocks) {
  const std::pair<QuantFormatId, const char*> kCases[] = {{QuantFormatId::kQ8_0, "gguf_q8_0"},
                                                          {QuantFormatId::kQ4_0, "gguf_q4_0"},
                                                          {QuantFormatId::kQ4_1, "gguf_q4_1"},
                                                          {QuantFormatId::kQ5_0, "gguf_q5_0"},
                                                          {QuantFormatId::kQ5_1, "gguf_q5_1"}};
  const std::vector<float> weights = Weights();
  for (const auto& [format, method] : kCases) {
    ASSERT_TRUE(HasBlockEncoder(format));
    const auto file = File(method);
    const auto want = Raw(file, "bytes");
    std::vector<std::byte> got(static_cast<size_t>(RowBytes(format, kN * kK)));
    EncodeRow(format, weights, got);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size()), 0) << method;
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, EncoderGolden, testing::Values("gauss", "heavy"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace bitrate
