# SPDX-License-Identifier: Apache-2.0
#[[.rst:
UnitTest
--------

``add_unit_test(name SOURCES foo_test.cc... LIBRARIES target...)`` builds one GoogleTest binary and gives each of its cases to
ctest. Does nothing without ``BUILD_TESTING``, so that callers need no condition.
#]]
include_guard(GLOBAL)

function(add_unit_test name)
  if(NOT BUILD_TESTING)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  add_common_options(${name})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE DP_TESTDATA="${PROJECT_SOURCE_DIR}/tests/testdata")
  gtest_discover_tests(${name} TEST_PREFIX "${name}." PROPERTIES TIMEOUT 60 DISCOVERY_TIMEOUT 60)
endfunction()
