// A non-owning view of a dense row-major tensor. Whoever owns the memory outlives the view.
// Thread rule: a value; sharing the memory behind it is the owner's affair.
// Units: shape counts elements, slowest dimension first; a tensor of no dimensions is one element.
#ifndef BITRATE_ENGINE_TENSOR_TENSOR_VIEW_H_
#define BITRATE_ENGINE_TENSOR_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/dtype.h"

namespace bitrate {

using Shape = std::vector<int64_t>;

inline int64_t NumElements(const Shape& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) count *= dim;
  return count;
}

struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  int64_t num_elements() const { return NumElements(shape); }
  size_t bytes() const { return static_cast<size_t>(num_elements()) * DTypeBytes(dtype); }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_TENSOR_TENSOR_VIEW_H_
