# Who may include what. Rooms are the folders of service/src; includes go
# rpc -> build -> {process, journal, secrets, store, blobs} -> base, never back, and each
# library has one room.
#
#   cmake -D SOURCE_DIR=... -P layering.cmake

cmake_minimum_required(VERSION 3.25)

set(rooms_of_base base)
set(rooms_of_process base process)
set(rooms_of_journal base journal)
set(rooms_of_secrets base secrets)
set(rooms_of_store base store)
set(rooms_of_blobs base blobs)
set(rooms_of_build base process journal secrets store blobs build)
set(rooms_of_rpc base process journal secrets store blobs build rpc)

# Folder -> what its includes must not match.
set(grpc "grpc|_grpc|\\.grpc\\.pb\\.h")
set(sqlite "^sqlite3|SQLiteCpp/")
set(forbidden_base "${grpc}|${sqlite}|boost/process")
set(forbidden_process "${grpc}|${sqlite}|containerbuilder/")
set(forbidden_journal "${grpc}|${sqlite}|boost/")
set(forbidden_secrets "${grpc}|${sqlite}|boost/|containerbuilder/")
set(forbidden_store "${grpc}|boost/")
set(forbidden_blobs "${grpc}|${sqlite}|boost/")
set(forbidden_build "${grpc}|${sqlite}|boost/")
set(forbidden_rpc "${sqlite}|boost/")

function(complain file include reason)
  message(SEND_ERROR "${file} includes ${include}: ${reason}")
endfunction()

set(files 0)
foreach(room base process journal secrets store blobs build rpc)
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
      if(include MATCHES "^(base|process|journal|secrets|store|blobs|build|rpc)/")
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
    "^#include .(containerbuilder/service|base|process|journal|store|blobs|build|rpc)/")
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

# Those of the service show neither its rooms nor the libraries behind them.
file(GLOB_RECURSE public "${SOURCE_DIR}/service/include/*.h")
foreach(source ${public})
  math(EXPR files "${files} + 1")
  file(STRINGS "${source}" lines REGEX
    "^#include .(base|process|journal|store|blobs|build|rpc|grpc.*|.*grpc\\.pb\\.h|boost|spdlog|sqlite.*|SQLiteCpp)[/\">]")
  if(lines)
    complain("${source}" "${lines}" "it is for programs that embed the service")
  endif()
endforeach()

if(files LESS 40)
  message(SEND_ERROR "only ${files} files found: is SOURCE_DIR right?")
endif()
message(STATUS "${files} files looked at")
