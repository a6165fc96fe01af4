#include "engine/model/rope_tables.h"

#include <algorithm>
#include <cmath>

namespace bitrate {
namespace {

constexpr double kPi = 3.14159265358979323846;

// theta^(2i/D) in float32, as torch computes `base ** (arange(0, dim, 2) / dim)`.
std::vector<float> PositionFrequencies(double theta, int64_t head_dim) {
  std::vector<float> out(static_cast<size_t>(head_dim / 2));
  const auto base = static_cast<float>(theta);
  for (size_t i = 0; i < out.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    out[i] = static_cast<float>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  return out;
}

// Long wavelengths are stretched by `factor`, short ones kept, those between blended.
void ApplyLlama3(const RopeConfig& rope, std::vector<float>& inv_freq) {
  const auto factor = static_cast<float>(rope.factor);
  const auto old_length = static_cast<float>(rope.original_max_positions);
  const auto low_wavelength = static_cast<float>(rope.original_max_positions / rope.low_freq_factor);
  const auto high_wavelength = static_cast<float>(rope.original_max_positions / rope.high_freq_factor);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto range = static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  for (float& f : inv_freq) {
    const float wavelength = static_cast<float>(2 * kPi) / f;
    if (wavelength > low_wavelength) {
      f = f / factor;
    } else if (!(wavelength < high_wavelength)) {
      const float smooth = (old_length / wavelength - low) / range;
      f = (1.0f - smooth) * f / factor + smooth * f;
    }
  }
}

double YarnMscale(double scale, double mscale) { return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0; }

double YarnAttentionFactor(const RopeConfig& rope) {
  if (rope.attention_factor != 0) return rope.attention_factor;
  if (rope.mscale != 0 && rope.mscale_all_dim != 0) {
    return YarnMscale(rope.factor, rope.mscale) / YarnMscale(rope.factor, rope.mscale_all_dim);
  }
  return YarnMscale(rope.factor, 1.0);
}

// The same for both sets of factors.
double LongRopeAttentionFactor(const RopeConfig& rope) {
  if (rope.attention_factor != 0) return rope.attention_factor;
  if (rope.factor <= 1) return 1.0;
  return std::sqrt(1 + std::log(rope.factor) / std::log(static_cast<double>(rope.original_max_positions)));
}

// The dimension whose frequency turns `rotations` times over the original context.
double YarnCorrectionDim(const RopeConfig& rope, double rotations, int64_t head_dim) {
  return static_cast<double>(head_dim) *
         std::log(static_cast<double>(rope.original_max_positions) / (rotations * 2 * kPi)) /
         (2 * std::log(rope.theta));
}

void ApplyYarn(const RopeConfig& rope, int64_t head_dim, const std::vector<float>& pos_freq,
               std::vector<float>& inv_freq) {
  double low = YarnCorrectionDim(rope, rope.beta_fast, head_dim);
  double high = YarnCorrectionDim(rope, rope.beta_slow, head_dim);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;  // no division by zero, as the reference does
  const auto factor = static_cast<float>(rope.factor);
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float extrapolated = 1.0f - ramp;
    const float interpolation = 1.0f / (factor * pos_freq[i]);
    inv_freq[i] = interpolation * (1.0f - extrapolated) + inv_freq[i] * extrapolated;
  }
}

}  // namespace

RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t head_dim, bool long_sequence) {
  const std::vector<float> pos_freq = PositionFrequencies(rope.theta, head_dim);
  RopeFrequencies out;
  out.inv_freq.resize(pos_freq.size());
  for (size_t i = 0; i < pos_freq.size(); ++i) out.inv_freq[i] = 1.0f / pos_freq[i];
  switch (rope.kind) {
    case RopeConfig::Kind::kDefault:
      break;
    case RopeConfig::Kind::kLinear:
      for (float& f : out.inv_freq) f /= static_cast<float>(rope.factor);
      break;
    case RopeConfig::Kind::kLlama3:
      ApplyLlama3(rope, out.inv_freq);
      break;
    case RopeConfig::Kind::kYarn:
      ApplyYarn(rope, head_dim, pos_freq, out.inv_freq);
      out.attention_factor = static_cast<float>(YarnAttentionFactor(rope));
      break;
    case RopeConfig::Kind::kFactors:
      for (size_t i = 0; i < out.inv_freq.size(); ++i) out.inv_freq[i] /= rope.factors[i];
      break;
    case RopeConfig::Kind::kLongRope: {
      const std::vector<float>& factors = long_sequence ? rope.long_factors : rope.factors;
      for (size_t i = 0; i < out.inv_freq.size(); ++i) out.inv_freq[i] = 1.0f / (factors[i] * pos_freq[i]);
      out.attention_factor = static_cast<float>(LongRopeAttentionFactor(rope));
      break;
    }
  }
  return out;
}

int64_t RopeTables::NumRows(const RopeConfig& rope, int64_t num_positions) {
  const bool two_sets = rope.kind == RopeConfig::Kind::kLongRope && num_positions > rope.original_max_positions;
  return num_positions + (two_sets ? rope.original_max_positions : 0);
}

RopeTables::RopeTables(const RopeConfig& rope, int64_t head_dim, int64_t num_positions)
    : cos_(static_cast<size_t>(NumRows(rope, num_positions) * (head_dim / 2))),
      sin_(static_cast<size_t>(NumRows(rope, num_positions) * (head_dim / 2))),
      rotary_dim_(static_cast<int>(head_dim)),
      long_row_(NumRows(rope, num_positions) - num_positions) {
  Fill(ComputeRopeFrequencies(rope, head_dim), 0, long_row_ > 0 ? long_row_ : num_positions);
  if (long_row_ > 0) Fill(ComputeRopeFrequencies(rope, head_dim, true), long_row_, num_positions);
}

void RopeTables::Fill(const RopeFrequencies& frequencies, int64_t first_row, int64_t num_positions) {
  const size_t half = frequencies.inv_freq.size();
  for (int64_t p = 0; p < num_positions; ++p) {
    const size_t row = static_cast<size_t>(first_row + p) * half;
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies.inv_freq[i];
      cos_[row + i] = static_cast<float>(std::cos(static_cast<double>(angle))) * frequencies.attention_factor;
      sin_[row + i] = static_cast<float>(std::sin(static_cast<double>(angle))) * frequencies.attention_factor;
    }
  }
}

RopeTable RopeTables::view() const { return {{cos_.data(), cos_.size()}, {sin_.data(), sin_.size()}, rotary_dim_}; }

}  // namespace bitrate
