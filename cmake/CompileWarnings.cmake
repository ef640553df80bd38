# Warnings for our own sources only: PRIVATE, never exported, and errors just
# where a preset says so, so that a newer compiler does not break a consumer.
option(CONTAINERBUILDER_WARNINGS_AS_ERRORS "Treat warnings as errors" OFF)

function(containerbuilder_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    # g++ 12 at -O3 takes the assignment of a literal to a std::string for an
    # overlap (GCC bug 105329).
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
    $<$<BOOL:${CONTAINERBUILDER_WARNINGS_AS_ERRORS}>:-Werror>)
endfunction()
