# The examples in README.md are, to the letter, the files that tests run.
#
#   cmake -D SOURCE_DIR=... -P readme.cmake
cmake_minimum_required(VERSION 3.25)

file(READ "${SOURCE_DIR}/README.md" readme)
foreach(example
    "cpp:client/examples/cpp/build_image.cc"
    "python:client/examples/python/build_image.py"
    "python:client/examples/bentoml/container_builder_backend.py"
    "sh:client/examples/grpcurl/build_image.sh"
    "cpp:service/examples/build_in_process.cc"
    "cmake:service/examples/CMakeLists.txt")
  string(REGEX MATCH "^([a-z]+):(.*)$" matched "${example}")
  set(language "${CMAKE_MATCH_1}")
  set(path "${CMAKE_MATCH_2}")
  file(READ "${SOURCE_DIR}/${path}" content)
  string(FIND "${readme}" "```${language}\n${content}```\n" at)
  if(at EQUAL -1)
    message(SEND_ERROR "README.md does not show ${path} as it is")
  endif()
endforeach()
