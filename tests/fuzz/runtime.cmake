bitrate_fuzzer(scheduler_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/scheduler"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/scheduler_fuzz.cc"
  DEPS bitrate_runtime_simulation)
