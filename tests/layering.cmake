# Who may include what. Rooms are the folders of service/src; includes go
# rpc -> build -> {process, journal} -> base, never back, and each library has
# one room.
#
#   cmake -D SOURCE_DIR=... -P layering.cmake

cmake_minimum_required(VERSION 3.25)

set(rooms_of_base base)
set(rooms_of_process base process)
set(rooms_of_journal base journal)
set(rooms_of_build base process journal build)
set(rooms_of_rpc base process journal build rpc)

# Folder -> what its includes must not match.
set(grpc "grpc|_grpc|\\.grpc\\.pb\\.h")
set(forbidden_base "${grpc}|boost/process")
set(forbidden_process "${grpc}|containerbuilder/")
set(forbidden_journal "${grpc}|boost/")
set(forbidden_build "${grpc}|boost/")
set(forbidden_rpc "boost/")

function(complain file include reason)
  message(SEND_ERROR "${file} includes ${include}: ${reason}")
endfunction()

set(files 0)
foreach(room base process journal build rpc)
  file(GLOB sources "${SOURCE_DIR}/service/src/${room}/*.h"
    "${SOURCE_DIR}/service/src/${room}/*.cc")
  foreach(source ${sources})
    math(EXPR files "${files} + 1")
    file(STRINGS "${source}" lines REGEX "^#include ")
    foreach(line ${lines})
      string(REGEX REPLACE "^#include [<\"]([^>\"]+)[>\"].*" "\\1" include
        "${line}")
      if(include MATCHES "${forbidden_${room}}")
        complain("${source}" "${include}" "not in the room ${room}")
      endif()
      if(include MATCHES "^(base|process|journal|build|rpc)/")
        if(NOT "${CMAKE_MATCH_1}" IN_LIST rooms_of_${room})
          complain("${source}" "${include}" "${room} is below it")
        endif()
      endif()
    endforeach()
  endforeach()
endforeach()

# Neither side of the wire knows the other.
file(GLOB_RECURSE client "${SOURCE_DIR}/client/*.h" "${SOURCE_DIR}/client/*.cc")
foreach(source ${client})
  math(EXPR files "${files} + 1")
  file(STRINGS "${source}" lines REGEX
    "^#include .(containerbuilder/service|base|process|journal|build|rpc)/")
  if(lines)
    complain("${source}" "${lines}" "the client does not know the service")
  endif()
endforeach()
# Public headers of the client do not make its users compile gRPC.
file(GLOB_RECURSE public "${SOURCE_DIR}/client/include/*.h")
foreach(source ${public})
  file(STRINGS "${source}" lines REGEX "^#include .*grpc")
  if(lines)
    complain("${source}" "${lines}" "gRPC stays behind the library")
  endif()
endforeach()

if(files LESS 40)
  message(SEND_ERROR "only ${files} files found: is SOURCE_DIR right?")
endif()
message(STATUS "${files} files looked at")
