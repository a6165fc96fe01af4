if(TARGET bitrate_grpc_server)
  bitrate_fuzzer(request_fuzz
    CORPUS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/request"
    SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/request_fuzz.cc"
    DEPS bitrate_grpc_server)
endif()
