# SPDX-License-Identifier: Apache-2.0
#[[.rst:
CompilerCache
-------------

Compiles through ccache where it is installed, with its store in the project's cache directory (``VFIO_DOORBELL_CACHE``). Paths
are kept relative, so that a second checkout in another place finds what the first one compiled.
#]]
include_guard(GLOBAL)

find_program(CCACHE_EXECUTABLE ccache)
if(CCACHE_EXECUTABLE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(cache "$ENV{HOME}/.cache/vfio-doorbell")
  if(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(cache "$ENV{XDG_CACHE_HOME}/vfio-doorbell")
  endif()
  if(NOT "$ENV{VFIO_DOORBELL_CACHE}" STREQUAL "")
    set(cache "$ENV{VFIO_DOORBELL_CACHE}")
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env "CCACHE_DIR=${cache}/ccache" "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
      "${CCACHE_EXECUTABLE}")
endif()
