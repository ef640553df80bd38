# Warnings for our own sources only: PRIVATE, never exported, and errors just
# where a preset says so, so that a newer compiler does not break a consumer.
option(CONTAINERBUILDER_WARNINGS_AS_ERRORS "Treat warnings as errors" OFF)

function(containerbuilder_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    $<$<BOOL:${CONTAINERBUILDER_WARNINGS_AS_ERRORS}>:-Werror>)
endfunction()
