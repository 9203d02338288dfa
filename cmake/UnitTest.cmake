# SPDX-License-Identifier: Apache-2.0
#[[.rst:
UnitTest
--------

``add_unit_test(name SOURCES foo_test.cc... LIBRARIES target... [TIMEOUT seconds] [ENVIRONMENT name=value...])`` builds one
GoogleTest binary and gives each of its cases to ctest, with 60 seconds unless said otherwise. Does nothing without ``BUILD_TESTING``, so that callers need no condition.

A test runs in the root of the project and names what it reads from there ("tests/testdata"): what is compiled does not depend on where
the checkout lies, so the compiler cache has it for the next one. ``define_program(target macro program)`` gives the sources of a target
the path of a program from there.
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
  gtest_discover_tests(${name} TEST_PREFIX "${name}." WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                       PROPERTIES TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENVIRONMENT}" DISCOVERY_TIMEOUT 60)
endfunction()

function(define_program target macro program)
  target_compile_definitions(
    ${target} PRIVATE "${macro}=\"$<PATH:RELATIVE_PATH,$<TARGET_FILE:${program}>,${PROJECT_SOURCE_DIR}>\"")
endfunction()
