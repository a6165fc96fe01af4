// Loops unrolled in the front end. Register tiles are arrays of vectors, and GCC keeps an array in registers only if
// every index is a constant before its scalar-replacement pass, which runs ahead of loop unrolling.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_UNROLL_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_UNROLL_H_

#include <type_traits>
#include <utility>

#define BITRATE_INLINE __attribute__((always_inline))
#define BITRATE_NOINLINE __attribute__((noinline))  // a tile gets the registers to itself

namespace bitrate::linear {

// fn(std::integral_constant<int, 0>()), ..., N - 1.
template <int kN, class Fn>
BITRATE_INLINE inline void StaticFor(Fn&& fn) {
  [&]<int... kJ>(std::integer_sequence<int, kJ...>) BITRATE_INLINE { (fn(std::integral_constant<int, kJ>()), ...); }
  (std::make_integer_sequence<int, kN>());
}

// Ties a running sum to its register: left alone, GCC 12 re-associates the integer sums of a tile (which spills every
// product) and copies accumulators between registers.
template <class V>
BITRATE_INLINE inline void Keep(V& sum) {
  asm("" : "+x"(sum));
}

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_UNROLL_H_
