#include "engine/base/fingerprint.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace bitrate {
namespace {

constexpr size_t kBlockBytes = size_t{128} << 10;

// Odd constants with well-mixed bits: fractional parts of the golden ratio and of sqrt(2), sqrt(3), sqrt(5).
constexpr uint64_t kMul[4] = {0x9e3779b97f4a7c15ull, 0x6a09e667f3bcc909ull, 0xbb67ae8584caa73bull,
                              0x3c6ef372fe94f82bull};

uint64_t Load64(const std::byte* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

uint64_t Mix(uint64_t h) {  // SplitMix64's finalizer
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
  return h ^ (h >> 31);
}

}  // namespace

Digest128 DigestOf(std::span<const std::byte> bytes) {
  // Four independent lanes of 8 bytes, so that the pass runs at memory speed.
  uint64_t lane[4] = {kMul[3], kMul[2], kMul[1], kMul[0]};
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 32; left -= 32, p += 32) {
    for (int i = 0; i < 4; ++i) lane[i] = Mix(lane[i] ^ Load64(p + 8 * i));
  }
  std::byte tail[32] = {};
  if (left > 0) std::memcpy(tail, p, left);
  for (int i = 0; i < 4; ++i) lane[i] = Mix(lane[i] ^ Load64(tail + 8 * i));
  uint64_t a = bytes.size(), b = ~a;
  for (const uint64_t l : lane) {
    a = Mix(a ^ l) * kMul[0];
    b = Mix(b + std::rotl(l, 17)) * kMul[1];
  }
  return {a, b};
}

std::string Fingerprint(std::span<const std::byte> bytes) {
  const Digest128 digest = DigestOf(bytes);
  return fmt::format("{:016x}{:016x}", digest.a, digest.b);
}

Digest128 BlockDigest(std::span<const std::byte> bytes, Parallel& parallel) {
  const size_t blocks = (bytes.size() + kBlockBytes - 1) / kBlockBytes;
  std::vector<Digest128> digests(blocks);
  const auto digest_block = [&](size_t i) {
    digests[i] = DigestOf(bytes.subspan(i * kBlockBytes, std::min(kBlockBytes, bytes.size() - i * kBlockBytes)));
  };
  if (blocks <= 1) {
    for (size_t i = 0; i < blocks; ++i) digest_block(i);
  } else {
    const auto workers = static_cast<size_t>(parallel.num_workers());
    parallel.Run([&](int worker) {
      const auto w = static_cast<size_t>(worker);
      for (size_t i = blocks * w / workers; i < blocks * (w + 1) / workers; ++i) digest_block(i);
    });
  }
  return DigestOf(std::as_bytes(std::span(digests)));
}

}  // namespace bitrate
