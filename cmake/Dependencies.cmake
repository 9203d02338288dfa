# SPDX-License-Identifier: Apache-2.0
#[[.rst:
Dependencies
------------

All third-party libraries, each found once, as interface targets ``dep::...``. Which folder may use which is in
``scripts/include-rules.yaml``.

They are linked by name (``-lfoo``), so one list serves both flavours: the daemon adds ``-static`` and gets the archives, tests
and sanitizer builds get the shared objects. gRPC is the ``unsecure`` build: every socket of ours is a Unix socket, so TLS would
be dead weight. fmt and spdlog are header-only because Debian has no archives of them. cpprestsdk, prometheus-cpp and civetweb,
of which there are only shared objects, are for the controller and the monitor.
#]]
include_guard(GLOBAL)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_program(PROTOC_EXECUTABLE protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN_EXECUTABLE grpc_cpp_plugin REQUIRED)

# _pkg_dependency(<name> <pkg-config modules>... [PRIVATE_LIBRARIES <libraries>...])
# PRIVATE_LIBRARIES are what the archives need and the shared objects bring along; Debian's .pc files do not name them.
function(_pkg_dependency name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PRIVATE_LIBRARIES")
  pkg_check_modules(PC_${name} REQUIRED ${arg_UNPARSED_ARGUMENTS})
  set(libraries ${PC_${name}_LIBRARIES} ${PC_${name}_STATIC_LIBRARIES} ${arg_PRIVATE_LIBRARIES})
  list(REMOVE_DUPLICATES libraries)
  list(TRANSFORM libraries PREPEND "-l")
  add_library(dep_${name} INTERFACE)
  add_library(dep::${name} ALIAS dep_${name})
  target_include_directories(dep_${name} SYSTEM INTERFACE ${PC_${name}_INCLUDE_DIRS})
  # A group, because archives of one family need each other in no particular order.
  target_link_libraries(dep_${name} INTERFACE "-Wl,--as-needed,--start-group" ${libraries} "-Wl,--end-group" Threads::Threads)
endfunction()

_pkg_dependency(status absl_statusor absl_status)
_pkg_dependency(yaml yaml-cpp)
_pkg_dependency(zlib zlib)
_pkg_dependency(xml libxml-2.0)
_pkg_dependency(protobuf protobuf-lite)
set(grpc_private address_sorting upb cares re2)
_pkg_dependency(grpc grpc++_unsecure PRIVATE_LIBRARIES ${grpc_private} z)
target_link_libraries(dep_grpc INTERFACE dep::protobuf)

# link_archives(<target>)
# Has a program that is otherwise linked against shared objects carry in itself gRPC, what that stands on, and yaml-cpp: the linker
# looks first where there are archives of these and nothing else.
function(link_archives target)
  set(folder "${PROJECT_BINARY_DIR}/archives")
  file(MAKE_DIRECTORY "${folder}")
  foreach(name IN LISTS PC_grpc_STATIC_LIBRARIES PC_protobuf_STATIC_LIBRARIES PC_status_STATIC_LIBRARIES PC_yaml_STATIC_LIBRARIES
               grpc_private)
    find_library(ARCHIVE_${name} NAMES lib${name}.a)
    mark_as_advanced(ARCHIVE_${name})
    if(ARCHIVE_${name} AND name MATCHES "^(absl|grpc|gpr|protobuf|address_sorting|upb|cares|re2|yaml-cpp)")
      file(CREATE_LINK "${ARCHIVE_${name}}" "${folder}/lib${name}.a" SYMBOLIC)
    endif()
  endforeach()
  target_link_directories(${target} BEFORE PRIVATE "${folder}")
endfunction()

if(VFIO_DOORBELL_CONTROLLER)
  # It has no .pc file, and its CMake file asks for every library of Boost that it once was built with.
  find_path(CPPREST_INCLUDE cpprest/http_client.h REQUIRED)
  add_library(dep_cpprest INTERFACE)
  add_library(dep::cpprest ALIAS dep_cpprest)
  # Without a macro called U, which is what other libraries call a type.
  target_compile_definitions(dep_cpprest INTERFACE _TURN_OFF_PLATFORM_STRING)
  target_include_directories(dep_cpprest SYSTEM INTERFACE ${CPPREST_INCLUDE})
  target_link_libraries(dep_cpprest INTERFACE -lcpprest -lssl -lcrypto Threads::Threads)
  _pkg_dependency(prometheus prometheus-cpp-pull prometheus-cpp-core)
  # The HTTP server that prometheus-cpp brings; Debian has no .pc file of it.
  find_path(CIVETWEB_INCLUDE CivetServer.h REQUIRED)
  add_library(dep_civetweb INTERFACE)
  add_library(dep::civetweb ALIAS dep_civetweb)
  target_include_directories(dep_civetweb SYSTEM INTERFACE ${CIVETWEB_INCLUDE})
  target_link_libraries(dep_civetweb INTERFACE -lcivetweb-cpp -lcivetweb Threads::Threads)
endif()

add_library(dep_fmt INTERFACE)
add_library(dep::fmt ALIAS dep_fmt)
target_link_libraries(dep_fmt INTERFACE fmt::fmt-header-only)
add_library(dep_spdlog INTERFACE)
add_library(dep::spdlog ALIAS dep_spdlog)
# Not its own target: that one brings the shared library of fmt.
target_compile_definitions(dep_spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
target_include_directories(
  dep_spdlog SYSTEM INTERFACE $<TARGET_PROPERTY:spdlog::spdlog_header_only,INTERFACE_INCLUDE_DIRECTORIES>)
target_link_libraries(dep_spdlog INTERFACE dep::fmt Threads::Threads)
add_library(dep_cli INTERFACE)
add_library(dep::cli ALIAS dep_cli)
target_link_libraries(dep_cli INTERFACE CLI11::CLI11)
add_library(dep_json INTERFACE)
add_library(dep::json ALIAS dep_json)
target_link_libraries(dep_json INTERFACE nlohmann_json::nlohmann_json)
