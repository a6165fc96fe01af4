if(TARGET bitrate_config)
  bitrate_fuzzer(config_fuzz
    CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/config"
    SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/config_fuzz.cc"
    DEPS bitrate_config)
endif()
