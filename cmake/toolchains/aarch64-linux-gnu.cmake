# SPDX-License-Identifier: Apache-2.0
#[[.rst:
aarch64-linux-gnu
-----------------

Cross build for arm64 with Debian's compiler against the sysroot of ``scripts/sysroot-arm64``, which is made on first use.
Libraries and headers come from the sysroot only, programs (protoc, grpc_cpp_plugin) from the machine only.
#]]
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

if(NOT VFIO_DOORBELL_SYSROOT)
  execute_process(
    COMMAND "${CMAKE_CURRENT_LIST_DIR}/../../scripts/sysroot-arm64"
    OUTPUT_VARIABLE VFIO_DOORBELL_SYSROOT
    OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
endif()
# CMake reads this file again for each compiler check.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VFIO_DOORBELL_SYSROOT)

set(CMAKE_SYSROOT "${VFIO_DOORBELL_SYSROOT}")
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
# The cross compiler brings a C library of its own and links that first. It gets no security updates, and a static program carries it.
add_link_options("-B${CMAKE_SYSROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${VFIO_DOORBELL_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR} "${VFIO_DOORBELL_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${VFIO_DOORBELL_SYSROOT}/usr/share/pkgconfig")
