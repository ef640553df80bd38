# Failpoints (base/failpoint.h) are in the test builds and in no other: neither
# in the release preset nor by default.
#
#   cmake -D SOURCE_DIR=... -D SCRATCH_DIR=... -P failpoints.cmake

cmake_minimum_required(VERSION 3.25)

# Configures a build and answers what it compiles.
function(compile_commands_of name answer)
  set(folder ${SCRATCH_DIR}/${name})
  file(REMOVE_RECURSE ${folder})
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${SOURCE_DIR} -B ${folder} -G Ninja
      -D CMAKE_EXPORT_COMPILE_COMMANDS=ON ${ARGN}
    OUTPUT_QUIET RESULT_VARIABLE result WORKING_DIRECTORY ${SOURCE_DIR})
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "cannot configure ${name}")
  endif()
  file(READ ${folder}/compile_commands.json commands)
  file(REMOVE_RECURSE ${folder})
  if(NOT commands MATCHES "service/src/build/engine\\.cc")
    message(FATAL_ERROR "${name}: nothing of the service is compiled")
  endif()
  set(${answer} ${commands} PARENT_SCOPE)
endfunction()

set(trace "DCONTAINERBUILDER_FAILPOINTS|failpoint\\.cc")
compile_commands_of(release commands --preset release)
if(commands MATCHES "${trace}")
  message(SEND_ERROR "the release preset compiles failpoints in")
endif()
compile_commands_of(default commands -D CONTAINERBUILDER_BUILD_TESTS=OFF)
if(commands MATCHES "${trace}")
  message(SEND_ERROR "failpoints are compiled in by default")
endif()
# Else this would find nothing anywhere.
compile_commands_of(tests commands -D CONTAINERBUILDER_BUILD_TESTS=OFF
  -D CONTAINERBUILDER_FAILPOINTS=ON)
if(NOT commands MATCHES "${trace}")
  message(SEND_ERROR "the option CONTAINERBUILDER_FAILPOINTS does nothing")
endif()
