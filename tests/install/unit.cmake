# The systemd unit says nothing that systemd does not know, and leaves the
# daemon little: systemd calls it an exposure of at most 2.5 out of 10.
#
#   cmake -D UNIT=... -D SCRATCH_DIR=... -P unit.cmake
cmake_minimum_required(VERSION 3.25)

# Where its program is, depends on the machine.
file(READ "${UNIT}" unit)
string(REPLACE "ExecStart=container-builderd" "ExecStart=/bin/true" unit
  "${unit}")
string(REGEX REPLACE "\nDocumentation=[^\n]*" "" unit "${unit}")
file(WRITE "${SCRATCH_DIR}/container-builder.service" "${unit}")
execute_process(
  COMMAND systemd-analyze verify --man=no
    "${SCRATCH_DIR}/container-builder.service"
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR output MATCHES "container-builder\\.service")
  message(SEND_ERROR "systemd-analyze verify: ${output}")
endif()

execute_process(
  COMMAND systemd-analyze security --no-pager --offline=true --threshold=25
    "${SCRATCH_DIR}/container-builder.service"
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR NOT output MATCHES "Overall exposure level")
  message(SEND_ERROR "${output}")
endif()
