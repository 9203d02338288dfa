# SPDX-License-Identifier: Apache-2.0
#[[.rst:
UnitTest
--------

``add_unit_test(name SOURCES foo_test.cc... LIBRARIES target... [TIMEOUT seconds] [ENVIRONMENT name=value...])`` builds one
GoogleTest binary and gives each of its cases to ctest, with 60 seconds unless said otherwise. Does nothing without ``BUILD_TESTING``, so that callers need no condition.
#]]
include_guard(GLOBAL)

function(add_unit_test name)
  if(NOT BUILD_TESTING)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LIBRARIES;ENVIRONMENT")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  add_common_options(${name})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE DP_TESTDATA="${PROJECT_SOURCE_DIR}/tests/testdata")
  gtest_discover_tests(${name} TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENVIRONMENT}"
                       DISCOVERY_TIMEOUT 60)
endfunction()
