bitrate_fuzzer(template_fuzz
  CORPUS "${CMAKE_CURRENT_LIST_DIR}/corpus/template"
  SOURCE "${CMAKE_CURRENT_LIST_DIR}/template_fuzz.cc"
  DEPS bitrate_jinja)
