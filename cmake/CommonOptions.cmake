# SPDX-License-Identifier: Apache-2.0
#[[.rst:
CommonOptions
-------------

``add_common_options(target)`` gives a target of ours the warnings and include root of the project. Generated code does not
get it: nobody can act on its warnings.
#]]
include_guard(GLOBAL)

function(add_common_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
                                           -Woverloaded-virtual)
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}")
endfunction()
