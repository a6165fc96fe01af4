cmake_minimum_required(VERSION 3.25)
# The layering of ARCHITECTURE.md as data. Fails with one line for each forbidden include.
# ROOT: the tree to check. EXPECT_VIOLATIONS: this many must be found (the check of the check).

# module: the modules it may include, besides itself.
set(rule_engine/base "")
set(rule_engine/tensor engine/base)
set(rule_engine/format engine/base engine/tensor)
set(rule_engine/artifact engine/base engine/tensor engine/format)
set(rule_engine/text engine/base)
set(rule_engine/backend engine/base engine/tensor engine/format engine/artifact)
set(rule_engine/backend/cpu ${rule_engine/backend} engine/backend)
set(rule_engine/backend/cuda ${rule_engine/backend} engine/backend)
set(rule_engine/kv ${rule_engine/backend} engine/backend)
set(rule_engine/batch ${rule_engine/backend} engine/backend)
set(rule_engine/model ${rule_engine/kv} engine/kv engine/batch)
set(rule_engine/sampling engine/base)
set(rule_engine/model_source engine/base engine/artifact engine/text engine/format)
set(rule_engine/runtime ${rule_engine/model} engine/model engine/sampling engine/text)
set(rule_quant ${rule_engine/model} engine/model engine/sampling engine/text engine/model_source)
set(rule_server ${rule_engine/runtime} engine/runtime engine/model_source proto)
set(modules
  engine/backend/cpu engine/backend/cuda  # longer prefixes first
  engine/base engine/tensor engine/format engine/artifact engine/text engine/backend engine/kv engine/batch
  engine/model_source engine/model engine/sampling engine/runtime quant server)

# Headers of libraries that only the named folders may see: pattern | folders.
set(only_in
  "grpcpp/|server"
  "google/protobuf/|server"
  "prometheus/|server/metrics"
  "boost/|server"
  "yaml-cpp/|server"
  "CLI/|server/cli,server/client,server/main.cc"
  "spdlog/|server"
  "dnnl|engine/backend/cpu"
  "immintrin.h|engine/backend/cpu/kernels"
  "pcre2|engine/base"
  "utf8proc|engine/text")

set(violations "")
macro(violation text)
  list(APPEND violations "${text}")
endmacro()

function(module_of path out)
  set(${out} "" PARENT_SCOPE)
  foreach(module IN LISTS modules)
    if(path MATCHES "^${module}/")
      set(${out} "${module}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  if(path MATCHES "\\.pb\\.h$|^proto/|^bitrate/v1/|^bitrate/config/")
    set(${out} proto PARENT_SCOPE)
  endif()
endfunction()

file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/engine/*.h" "${ROOT}/engine/*.cc" "${ROOT}/engine/*.cu"
  "${ROOT}/server/*.h" "${ROOT}/server/*.cc" "${ROOT}/quant/*.h" "${ROOT}/quant/*.cc")
list(LENGTH files num_files)
if(num_files EQUAL 0)
  message(FATAL_ERROR "no source file under ${ROOT}: the check would pass without checking")
endif()
foreach(file IN LISTS files)
  module_of("${file}" from)
  file(STRINGS "${ROOT}/${file}" includes REGEX "^ *# *include")
  foreach(line IN LISTS includes)
    if(NOT line MATCHES "include *[<\"]([^>\"]+)[>\"]")
      continue()
    endif()
    set(header "${CMAKE_MATCH_1}")
    module_of("${header}" to)
    if(to AND NOT to STREQUAL from AND NOT to IN_LIST rule_${from})
      # The factory of a backend is declared in engine/backend and may be included by nobody else's folder.
      violation("${file}: ${from} must not include ${to} (${header})")
    endif()
    foreach(entry IN LISTS only_in)
      string(REGEX REPLACE "\\|.*" "" pattern "${entry}")
      string(REGEX REPLACE ".*\\|" "" folders "${entry}")
      string(REPLACE "," ";" folders "${folders}")
      if(header MATCHES "^${pattern}" OR (pattern STREQUAL "dnnl" AND header MATCHES "dnnl"))
        set(allowed FALSE)
        foreach(folder IN LISTS folders)
          if(file MATCHES "^${folder}(/|$)" OR file STREQUAL folder)
            set(allowed TRUE)
          endif()
        endforeach()
        if(NOT allowed)
          violation("${file}: <${header}> belongs to ${folders} only")
        endif()
      endif()
    endforeach()
  endforeach()
  # Format ids stay below the model: nothing above may branch on one.
  if(from MATCHES "^(engine/model|engine/runtime|server)$")
    file(STRINGS "${ROOT}/${file}" ids REGEX "QuantFormatId::k")
    if(ids)
      violation("${file}: names a storage format (QuantFormatId)")
    endif()
  endif()
  # The scheduler is pure: no thread, clock, backend or tensor header.
  if(file MATCHES "engine/runtime/scheduler\\.")
    file(STRINGS "${ROOT}/${file}" impure
         REGEX "include.*(<thread>|<mutex>|<atomic>|base/mutex|base/compute_pool|engine/backend|engine/tensor|engine/model)")
    if(impure)
      violation("${file}: the scheduler must stay pure, but has ${impure}")
    endif()
  endif()
endforeach()

list(LENGTH violations count)
if(DEFINED EXPECT_VIOLATIONS)
  if(NOT count EQUAL EXPECT_VIOLATIONS)
    message(FATAL_ERROR "expected ${EXPECT_VIOLATIONS} violations in ${ROOT}, found ${count}: ${violations}")
  endif()
  message(STATUS "found the ${count} planted violations")
elseif(count GREATER 0)
  string(REPLACE ";" "\n  " text "${violations}")
  message(FATAL_ERROR "${count} forbidden includes:\n  ${text}")
else()
  message(STATUS "${num_files} files keep the layering")
endif()
