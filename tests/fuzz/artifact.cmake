bitrate_fuzzer(gguf_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/gguf"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/gguf_fuzz.cc"
  DEPS bitrate_artifact)
bitrate_fuzzer(safetensors_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/safetensors"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/safetensors_fuzz.cc"
  DEPS bitrate_artifact)
bitrate_fuzzer(cache_file_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/cache_file"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/cache_file_fuzz.cc"
  DEPS bitrate_artifact)
bitrate_fuzzer(peft_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/peft"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/peft_fuzz.cc"
  DEPS bitrate_artifact)
bitrate_fuzzer(quantized_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/quantized"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/quantized_fuzz.cc"
  DEPS bitrate_artifact)
