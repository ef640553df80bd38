# Installs what was built into TREE, and looks at what is there.
#
#   cmake -D BUILD_DIR=... -D TREE=... -P install_tree.cmake
cmake_minimum_required(VERSION 3.25)

# What an earlier version installed must not be found.
file(REMOVE_RECURSE "${TREE}")
execute_process(
  COMMAND ${CMAKE_COMMAND} --install "${BUILD_DIR}" --prefix "${TREE}"
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

foreach(file
    bin/container-builder
    bin/container-builderd
    include/containerbuilder/client/client.h
    include/containerbuilder/service/engine.h
    include/containerbuilder/service/server.h
    include/containerbuilder/v1/container_builder.pb.h
    share/containerbuilder/proto/containerbuilder/v1/container_builder.proto
    lib/systemd/system/container-builder.service
    share/doc/containerbuilder/LICENSE
    share/doc/containerbuilder/README.md
    share/doc/containerbuilder/client/VERSIONING.md
    share/doc/containerbuilder/client/examples/cpp/build_image.cc
    share/doc/containerbuilder/service/THREAT_MODEL.md
    share/bash-completion/completions/container-builder
    share/fish/vendor_completions.d/container-builder.fish
    share/man/man1/container-builder.1
    share/man/man8/container-builderd.8
    share/zsh/site-functions/_container-builder)
  if(NOT EXISTS "${TREE}/${file}")
    message(SEND_ERROR "${file} is not installed")
  endif()
endforeach()

# Neither what is ours alone nor paths of this machine are let out.
file(GLOB_RECURSE files "${TREE}/include/*" "${TREE}/lib*/*.cmake"
  "${TREE}/lib*/*.pc")
foreach(file ${files})
  file(RELATIVE_PATH name "${TREE}" "${file}")
  if(name MATCHES "/(base|build|journal|process|rpc|storage|store)/")
    message(SEND_ERROR "${name} is installed")
  endif()
  file(READ "${file}" content)
  string(FIND "${content}" "${BUILD_DIR}" at)
  if(NOT at EQUAL -1)
    message(SEND_ERROR "${name} names the build folder")
  endif()
endforeach()
