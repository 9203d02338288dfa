# SPDX-License-Identifier: Apache-2.0
#[[.rst:
ReproduciblePaths
-----------------

Keeps out of the programs where they were built: a file is named from the root of the project, and one of the sysroot from ``/``, so
that two checkouts give the same bytes.
#]]
include_guard(GLOBAL)

add_compile_options("-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=")
if(CMAKE_SYSROOT)
  add_compile_options("-ffile-prefix-map=${CMAKE_SYSROOT}/=/")
endif()
# Every library of ours is an archive, so no program has to look for one in the build folder.
set(CMAKE_SKIP_RPATH ON)
