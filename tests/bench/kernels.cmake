find_package(benchmark REQUIRED)

# The machine's own rates, for every benchmark that prints a share of them.
add_library(bench_machine_rates STATIC machine_rates.cc)
target_include_directories(bench_machine_rates PUBLIC "${PROJECT_SOURCE_DIR}")
bitrate_kernel(bench_machine_rates ISA_FLAGS -mavx2 -mfma SOURCES kernels_peak_avx2.cc)
bitrate_kernel(bench_machine_rates ISA_FLAGS -mavx512f -mavx512vnni -mavx512bf16 SOURCES kernels_peak_avx512.cc)
target_link_libraries(bench_machine_rates PUBLIC bitrate_backend bitrate_base)

add_executable(kernels_bench kernels_bench.cc kernels_cliffs.cc kernels_operators.cc)
target_link_libraries(kernels_bench PRIVATE bench_machine_rates bitrate_backend_cpu benchmark::benchmark)
