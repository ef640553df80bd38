# Tests in Python, one ctest entry per file. They need a venv with
# tests/requirements.txt, whose interpreter CONTAINERBUILDER_PYTHON names.
include_guard(GLOBAL)

# The environment variable wins, and is remembered for later configurations.
if(NOT "$ENV{CONTAINERBUILDER_PYTHON}" STREQUAL "")
  set(CONTAINERBUILDER_PYTHON "$ENV{CONTAINERBUILDER_PYTHON}" CACHE FILEPATH
    "Python of a venv with tests/requirements.txt" FORCE)
else()
  set(CONTAINERBUILDER_PYTHON "" CACHE FILEPATH
    "Python of a venv with tests/requirements.txt")
endif()

set(containerbuilder_python_folder ${CMAKE_CURRENT_BINARY_DIR}/python)
set_property(GLOBAL PROPERTY containerbuilder_python_folder
  ${containerbuilder_python_folder})

# Stubs as a Python client makes them: by grpcio-tools, not by Debian's protoc.
if(EXISTS "${CONTAINERBUILDER_PYTHON}")
  set(proto_folder ${PROJECT_SOURCE_DIR}/proto)
  set(proto containerbuilder/v1/container_builder.proto)
  string(REGEX REPLACE "\\.proto$" "_pb2.py"
    stub ${containerbuilder_python_folder}/${proto})
  add_custom_command(
    OUTPUT ${stub}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${containerbuilder_python_folder}
    COMMAND ${CONTAINERBUILDER_PYTHON} -m grpc_tools.protoc -I ${proto_folder}
      --python_out=${containerbuilder_python_folder}
      --grpc_python_out=${containerbuilder_python_folder} ${proto}
    DEPENDS ${proto_folder}/${proto} ${PROJECT_SOURCE_DIR}/tests/requirements.txt
    COMMENT "Generating the Python stubs"
    VERBATIM)
  add_custom_target(containerbuilder_python_stubs ALL DEPENDS ${stub})
endif()

# Registers FILE as the test NAME. LABEL is its kind: interop or e2e. TIMEOUT
# is in seconds. SELECT is pytest's -k: the rest of the file is another test's.
# Without the venv the test fails, and says how to get it.
function(containerbuilder_python_test name file)
  cmake_parse_arguments(arg "RUN_SERIAL" "LABEL;TIMEOUT;SELECT" "" ${ARGN})
  get_property(python_folder GLOBAL PROPERTY containerbuilder_python_folder)
  set(select "")
  if(DEFINED arg_SELECT)
    set(select -k ${arg_SELECT})
  endif()
  if(EXISTS "${CONTAINERBUILDER_PYTHON}")
    add_test(NAME ${name} COMMAND ${CONTAINERBUILDER_PYTHON} -m pytest
      -p no:cacheprovider --color=no --durations=5 -ra
      --rootdir=${PROJECT_SOURCE_DIR}/tests
      ${select} ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  else()
    add_test(NAME ${name} COMMAND sh -c "echo \"$1\" >&2; exit 1" sh
      "CONTAINERBUILDER_PYTHON (a CMake or environment variable) must name the \
Python of a venv: python3 -m venv DIR, DIR/bin/pip install -r \
tests/requirements.txt, CONTAINERBUILDER_PYTHON=DIR/bin/python")
  endif()
  set(environment
    CONTAINERBUILDER_DAEMON=$<TARGET_FILE:container-builderd>
    CONTAINERBUILDER_CLI=$<TARGET_FILE:container-builder>
    FAKE_NERDCTL=$<TARGET_FILE:fake_nerdctl>
    FAIL_CALLS=$<TARGET_FILE:fail_calls>
    HYPOTHESIS_STORAGE_DIRECTORY=${python_folder}/hypothesis
    PYTHONDONTWRITEBYTECODE=1
    PYTHONPATH=${python_folder}
    PYTHONUTF8=1)
  set_tests_properties(${name} PROPERTIES
    ENVIRONMENT "${environment}" LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
    RUN_SERIAL ${arg_RUN_SERIAL})
endfunction()
