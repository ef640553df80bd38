# Installed programs are hardened: loaded at a random address, with all of what
# they link bound and read-only before main, no executable stack, a guard on
# stacks and checked calls of the C library.
#
#   cmake -D READELF=... -D TREE=... -P elf.cmake
cmake_minimum_required(VERSION 3.25)

foreach(program container-builder container-builderd)
  execute_process(
    COMMAND ${READELF} --wide --file-header --program-headers --dynamic
      --dyn-syms "${TREE}/bin/${program}"
    OUTPUT_VARIABLE elf COMMAND_ERROR_IS_FATAL ANY)
  foreach(wanted
      "Type: +DYN \\(Position-Independent Executable file\\)"
      "GNU_RELRO"
      "\\(FLAGS\\) +BIND_NOW"
      "\\(FLAGS_1\\) +Flags: NOW PIE"
      "GNU_STACK +[^\n]* RW +0x"
      "__stack_chk_fail@")
    if(NOT elf MATCHES "${wanted}")
      message(SEND_ERROR "${program}: readelf shows no ${wanted}")
    endif()
  endforeach()
  # The other program calls nothing that there is a checked version of.
  if(program STREQUAL "container-builderd" AND NOT elf MATCHES "__[a-z]+_chk@")
    message(SEND_ERROR "${program}: no call is checked")
  endif()
  foreach(unwanted "GNU_STACK +[^\n]* RWE" "\\(R(UN)?PATH\\)" "\\(TEXTREL\\)")
    if(elf MATCHES "${unwanted}")
      message(SEND_ERROR "${program}: readelf shows ${CMAKE_MATCH_0}")
    endif()
  endforeach()
endforeach()
