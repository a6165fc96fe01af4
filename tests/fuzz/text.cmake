bitrate_fuzzer(tokenizer_json_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/tokenizer_json"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/tokenizer_json_fuzz.cc"
  DEPS bitrate_text)
bitrate_fuzzer(detokenizer_fuzz
  CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/detokenizer"
  SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/detokenizer_fuzz.cc"
  DEPS bitrate_text)
