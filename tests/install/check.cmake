# SPDX-License-Identifier: Apache-2.0
# Installs the build BUILD into the empty FOLDER, as whoever makes a package does, and looks at what is there: PROGRAMS, which say
# VERSION, and what belongs to doorbellctl. Nothing less and nothing more.
file(REMOVE_RECURSE "${FOLDER}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env "DESTDIR=${FOLDER}" "${CMAKE_COMMAND}" --install "${BUILD}" --prefix /usr
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

string(REPLACE "," ";" PROGRAMS "${PROGRAMS}")
set(wanted usr/bin/kubectl-doorbell usr/share/man/man1/doorbellctl.1)
foreach(program IN LISTS PROGRAMS)
  list(APPEND wanted "usr/bin/${program}")
endforeach()
list(SORT wanted)
file(GLOB_RECURSE found LIST_DIRECTORIES false RELATIVE "${FOLDER}" "${FOLDER}/*")
list(SORT found)
if(NOT found STREQUAL wanted)
  message(FATAL_ERROR "installed is: ${found}\nand not: ${wanted}")
endif()

# A link that is good wherever it is unpacked.
file(READ_SYMLINK "${FOLDER}/usr/bin/kubectl-doorbell" target)
if(NOT target STREQUAL "doorbellctl")
  message(FATAL_ERROR "kubectl-doorbell is a link to ${target}, and not to doorbellctl")
endif()

foreach(program IN LISTS PROGRAMS ITEMS kubectl-doorbell)
  execute_process(COMMAND "${FOLDER}/usr/bin/${program}" --version OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
  if(NOT said MATCHES " ${VERSION}\n$")
    message(FATAL_ERROR "${program} --version says: ${said}")
  endif()
endforeach()
file(REMOVE_RECURSE "${FOLDER}")
