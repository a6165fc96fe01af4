# The operators other than linear ones: one table of row operators an ISA, and what shares rows and keys among workers.
target_sources(bitrate_backend_cpu PRIVATE
  "${CMAKE_CURRENT_LIST_DIR}/cpu_backend.cc" "${CMAKE_CURRENT_LIST_DIR}/experts.cc"
  "${CMAKE_CURRENT_LIST_DIR}/low_rank.cc" "${CMAKE_CURRENT_LIST_DIR}/rope.cc"
  "${CMAKE_CURRENT_LIST_DIR}/attention.cc" "${CMAKE_CURRENT_LIST_DIR}/attention_plan.cc"
  "${CMAKE_CURRENT_LIST_DIR}/kernels/vec_ops_scalar.cc")
bitrate_kernel(bitrate_backend_cpu ISA_FLAGS -mavx2 -mfma -mf16c
  SOURCES "${CMAKE_CURRENT_LIST_DIR}/kernels/vec_ops_avx2.cc")
bitrate_kernel(bitrate_backend_cpu ISA_FLAGS -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
  SOURCES "${CMAKE_CURRENT_LIST_DIR}/kernels/vec_ops_avx512.cc")
