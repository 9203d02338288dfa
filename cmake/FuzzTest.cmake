# SPDX-License-Identifier: Apache-2.0
#[[.rst:
FuzzTest
--------

``add_fuzz_test(name SOURCES foo_fuzz_test.cc... LIBRARIES target...)`` builds a fuzz target, whose corpus is the folder
``foo_corpus`` beside ``foo_fuzz_test``, and adds it to the target ``fuzz``.

Where ``VFIO_DOORBELL_FUZZ`` is on (preset ``fuzz``), it is a libFuzzer program. Elsewhere it runs each file of its corpus once, as
a test, so that what was found once is tried in each build with each compiler.
#]]
include_guard(GLOBAL)

option(VFIO_DOORBELL_FUZZ "Link the fuzz targets with libFuzzer (clang)" OFF)
if(NOT TARGET fuzz)
  add_custom_target(fuzz)
endif()

function(add_fuzz_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  add_common_options(${name})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
  add_dependencies(fuzz ${name})
  if(VFIO_DOORBELL_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.cc")
    string(REPLACE "_fuzz_test" "_corpus" corpus ${name})
    add_test(NAME ${name}.Corpus COMMAND ${name} "${CMAKE_CURRENT_SOURCE_DIR}/${corpus}")
    set_tests_properties(${name}.Corpus PROPERTIES TIMEOUT 60)
  endif()
endfunction()
