// Philox4x32-10, a counter-based random number generator: a number is a pure function of (key, counter), so a choice
// depends on (seed, choice index, position) and on nothing that happened before.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (constants and test vectors there).
#ifndef BITRATE_ENGINE_SAMPLING_PHILOX_H_
#define BITRATE_ENGINE_SAMPLING_PHILOX_H_

#include <array>
#include <cstdint>

namespace bitrate {

inline std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// Uniform in [0, 1), 53 bits.
inline double UniformDraw(uint64_t seed, uint32_t choice_index, uint64_t position) {
  const std::array<uint32_t, 4> bits =
      Philox4x32({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), choice_index, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t mantissa = ((uint64_t{bits[1]} << 32) | bits[0]) >> 11;
  return static_cast<double>(mantissa) * 0x1.0p-53;
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_SAMPLING_PHILOX_H_
