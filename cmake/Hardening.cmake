# What makes a defect of memory harder to use, for all that is built here; see
# tests/install/elf.cmake. Sanitizers do without it.
option(CONTAINERBUILDER_HARDENING
  "Stack protection, checked library calls, no lazy binding"
  ${PROJECT_IS_TOP_LEVEL})
if(NOT CONTAINERBUILDER_HARDENING)
  return()
endif()

include(CheckCXXCompilerFlag)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# The last two are not there for every processor.
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  string(MAKE_C_IDENTIFIER "containerbuilder${flag}" has_flag)
  check_cxx_compiler_flag(${flag} ${has_flag})
  if(${has_flag})
    add_compile_options(${flag})
  endif()
endforeach()
# It needs an optimizing build, and some distributions set it to another value.
add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
add_link_options(LINKER:-z,relro,-z,now,-z,noexecstack)
