# SPDX-License-Identifier: Apache-2.0
#[[.rst:
ProtoLibrary
------------

``add_proto_library(target proto)`` builds messages and gRPC stubs of one .proto, included from the project root
(``#include "api/kubelet/v1beta1/api.grpc.pb.h"``). Lite runtime: the daemon needs no reflection, and descriptors cost start-up
time and memory.
#]]
include_guard(GLOBAL)

function(add_proto_library target proto)
  cmake_path(GET proto STEM stem)
  cmake_path(GET proto PARENT_PATH folder)
  file(RELATIVE_PATH relative "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/${folder}")
  set(base "${PROJECT_BINARY_DIR}/generated/${relative}/${stem}")
  set(outputs ${base}.pb.cc ${base}.pb.h ${base}.grpc.pb.cc ${base}.grpc.pb.h)
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/generated")
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND ${PROTOC_EXECUTABLE} "-I${PROJECT_SOURCE_DIR}" --cpp_out=lite:${PROJECT_BINARY_DIR}/generated
            --grpc_out=${PROJECT_BINARY_DIR}/generated --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN_EXECUTABLE}
            "${relative}/${stem}.proto"
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${proto}"
    COMMENT "Generating ${relative}/${stem}"
    VERBATIM)
  add_library(${target} STATIC ${outputs})
  target_include_directories(${target} SYSTEM PUBLIC "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${target} PUBLIC dep::grpc)
endfunction()
