# The helpers every folder uses: bitrate_module, bitrate_kernel, bitrate_test, bitrate_fuzzer. No build flag is set
# anywhere else: warnings, optimisation and sanitizers belong to CMakePresets.json.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(Threads REQUIRED)

find_program(BITRATE_CCACHE ccache)
if(BITRATE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${BITRATE_CCACHE}")
endif()

# Promise 2 (same bits whatever the batch): the compiler may not fuse a multiply and an add on its own; kernels write
# fma where they mean it.
add_compile_options(-ffp-contract=off)

# What the sanitizer and fuzz presets build instead of everything: the unit tests, those of them that test threads, and
# the fuzz targets.
add_custom_target(unit_tests)
add_custom_target(threaded_tests)
add_custom_target(fuzzers)

# bitrate_module(NAME SOURCES a.cc ... [DEPS targets...])
# A static library `bitrate_NAME`; headers are included from the root, e.g. "engine/base/status.h".
function(bitrate_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(bitrate_${name} STATIC ${ARG_SOURCES})
    target_include_directories(bitrate_${name} PUBLIC "${PROJECT_SOURCE_DIR}")
    target_link_libraries(bitrate_${name} PUBLIC ${ARG_DEPS})
  else()
    add_library(bitrate_${name} INTERFACE)
    target_include_directories(bitrate_${name} INTERFACE "${PROJECT_SOURCE_DIR}")
    target_link_libraries(bitrate_${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# bitrate_kernel(TARGET ISA_FLAGS flags... SOURCES a.cc ...)
# Adds sources compiled for one instruction set to an existing module. Only engine/backend/*/kernels uses it.
function(bitrate_kernel target)
  cmake_parse_arguments(ARG "" "" "ISA_FLAGS;SOURCES" ${ARGN})
  target_sources(${target} PRIVATE ${ARG_SOURCES})
  set_source_files_properties(${ARG_SOURCES} PROPERTIES COMPILE_OPTIONS "${ARG_ISA_FLAGS}")
endfunction()

# bitrate_test(NAME SOURCES a_test.cc ... [DEPS targets...] [LABELS unit] [TIMEOUT 120] [WHOLE])
# A GoogleTest binary NAME whose cases ctest sees one by one; WHOLE registers the binary as one test instead (for
# binaries of many tiny cases, where starting a process a case costs more than the cases). THREADED: ThreadSanitizer
# runs it too.
# Tests find tests/golden through the macro BITRATE_GOLDEN_DIR and the downloaded real model through BITRATE_MODEL_DIR.
function(bitrate_test name)
  cmake_parse_arguments(ARG "WHOLE;THREADED" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  find_package(GTest REQUIRED)
  include(GoogleTest)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if("unit" IN_LIST ARG_LABELS)
    add_dependencies(unit_tests ${name})
  endif()
  if(ARG_THREADED)
    add_dependencies(threaded_tests ${name})
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    BITRATE_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden"
    BITRATE_MODEL_DIR="${PROJECT_SOURCE_DIR}/build/models"
    BITRATE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(ARG_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  else()
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  endif()
endfunction()

# bitrate_fuzzer(NAME CORPUS dir SOURCE a_fuzz.cc DEPS targets...)
# The same source is built twice: with libFuzzer where BITRATE_FUZZ is on, and always as a unit test that runs every
# file of the corpus once (Envoy's rule: each corpus is also a unit test).
function(bitrate_fuzzer name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCE;DEPS" ${ARGN})
  add_executable(${name}_corpus ${ARG_SOURCE} "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus_main.cc")
  target_link_libraries(${name}_corpus PRIVATE ${ARG_DEPS})
  target_compile_definitions(${name}_corpus PRIVATE BITRATE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_dependencies(unit_tests ${name}_corpus)
  add_test(NAME ${name}_corpus COMMAND ${name}_corpus "${ARG_CORPUS}")
  set_tests_properties(${name}_corpus PROPERTIES TIMEOUT 120 LABELS "unit")
  if(BITRATE_FUZZ)
    add_executable(${name} ${ARG_SOURCE})
    add_dependencies(fuzzers ${name})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name}_smoke COMMAND ${name} -max_total_time=30 -timeout=10 -rss_limit_mb=2048
             -print_final_stats=1 "${PROJECT_BINARY_DIR}/fuzz/${name}" "${ARG_CORPUS}")
    file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz/${name}")
    set_tests_properties(${name}_smoke PROPERTIES TIMEOUT 120 LABELS "slow")
  endif()
endfunction()
