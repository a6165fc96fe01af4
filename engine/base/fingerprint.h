// 128 bits that stand for a run of bytes: SplitMix64's mixer over four lanes, folded twice. Not cryptographic: it tells
// contents apart and shows damage, it does not defend against somebody who makes two of them collide.
// Thread rule: pure functions. Speed: about 2.5 bytes a cycle and core, so memory is the limit.
#ifndef BITRATE_ENGINE_BASE_FINGERPRINT_H_
#define BITRATE_ENGINE_BASE_FINGERPRINT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/base/parallel.h"

namespace bitrate {

struct Digest128 {
  uint64_t a = 0, b = 0;
  friend bool operator==(const Digest128&, const Digest128&) = default;
};

Digest128 DigestOf(std::span<const std::byte> bytes);
std::string Fingerprint(std::span<const std::byte> bytes);  // DigestOf in hex, 32 digits

// The digest of the digests of blocks of 128 KiB, which the workers share. The result depends on the bytes only; it is
// another one than DigestOf's.
Digest128 BlockDigest(std::span<const std::byte> bytes, Parallel& parallel);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_FINGERPRINT_H_
