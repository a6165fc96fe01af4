add_executable(attention_bench attention_bench.cc kernels_calibrate.cc)
bitrate_kernel(attention_bench ISA_FLAGS -mavx2 -mfma SOURCES kernels_peak_avx2.cc)
bitrate_kernel(attention_bench ISA_FLAGS -mavx512f -mavx512vnni SOURCES kernels_peak_avx512.cc)
target_link_libraries(attention_bench PRIVATE bitrate_backend_cpu benchmark::benchmark)
