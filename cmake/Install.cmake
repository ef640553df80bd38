# What `cmake --install` puts where: libraries, headers and the package files
# for CMake and pkg-config; the programs; the contract; what README shows. All
# of it may be moved afterwards, as long as it stays together.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/containerbuilder)

# A library as a component of the package: find_package(containerbuilder
# COMPONENTS name), containerbuilder::name, containerbuilder-name.targets.cmake.
function(containerbuilder_install_library name)
  set(target containerbuilder_${name})
  get_target_property(header_sets ${target} INTERFACE_HEADER_SETS)
  list(TRANSFORM header_sets PREPEND "FILE_SET;" OUTPUT_VARIABLE file_sets)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "SHARED_LIBRARY")
    # Below 1.0 each minor version may break what is linked to it.
    set_target_properties(${target} PROPERTIES
      VERSION ${PROJECT_VERSION}
      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  endif()
  install(TARGETS ${target} EXPORT containerbuilder-${name} ${file_sets})
  install(EXPORT containerbuilder-${name}
    DESTINATION ${package_dir}
    NAMESPACE containerbuilder::
    FILE containerbuilder-${name}.targets.cmake)
endfunction()

# containerbuilder-NAME.pc. REQUIRES are modules and LIBRARIES are linker
# arguments without a module that the library needs. A static library's users
# link them all; for a shared one only PUBLIC, what its headers include, counts.
function(containerbuilder_install_pkg_config name)
  cmake_parse_arguments(arg "" "DESCRIPTION" "PUBLIC;REQUIRES;LIBRARIES" ${ARGN})
  set(pc_name containerbuilder-${name})
  set(pc_description "${arg_DESCRIPTION}")
  set(pc_libs -lcontainerbuilder_${name})
  set(pc_libs_private "")
  set(pc_requires ${arg_PUBLIC})
  set(pc_requires_private "")
  get_target_property(type containerbuilder_${name} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    list(APPEND pc_requires ${arg_REQUIRES})
    list(APPEND pc_libs ${arg_LIBRARIES})
  else()
    set(pc_requires_private ${arg_REQUIRES})
    set(pc_libs_private ${arg_LIBRARIES})
  endif()
  foreach(list pc_requires pc_requires_private pc_libs pc_libs_private)
    list(JOIN ${list} " " ${list})
  endforeach()
  # From the file's own folder, which the tree may be moved with.
  file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/containerbuilder.pc.in
    ${pc_name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${pc_name}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

foreach(name proto grpc client client_mocks engine service)
  containerbuilder_install_library(${name})
endforeach()

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/containerbuilderConfig.cmake.in
  containerbuilderConfig.cmake
  INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(containerbuilderConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/containerbuilderConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/containerbuilderConfigVersion.cmake
  DESTINATION ${package_dir})

set(absl_modules absl_status absl_statusor absl_strings absl_time)
containerbuilder_install_pkg_config(proto
  DESCRIPTION "ContainerBuilder's messages"
  PUBLIC protobuf)
containerbuilder_install_pkg_config(grpc
  DESCRIPTION "ContainerBuilder's gRPC stubs"
  PUBLIC containerbuilder-proto grpc++)
containerbuilder_install_pkg_config(client
  DESCRIPTION "Client of ContainerBuilder services"
  PUBLIC containerbuilder-proto ${absl_modules} absl_synchronization
  REQUIRES
    containerbuilder-grpc absl_cord absl_str_format libarchive libcrypto re2
  LIBRARIES -pthread)
containerbuilder_install_pkg_config(engine
  DESCRIPTION "ContainerBuilder without gRPC, for programs that build images"
  PUBLIC containerbuilder-proto ${absl_modules}
  REQUIRES
    absl_cord absl_flat_hash_map absl_span absl_synchronization spdlog
    libcrypto sqlite3
  # It comes without a module.
  LIBRARIES -lSQLiteCpp -pthread)
containerbuilder_install_pkg_config(service
  DESCRIPTION "ContainerBuilder's server, for programs that embed it"
  PUBLIC containerbuilder-engine
  REQUIRES containerbuilder-grpc libssl)

install(TARGETS container-builder container-builderd)
install(FILES ${PROJECT_BINARY_DIR}/service/container-builderd.8
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
set(pages ${PROJECT_BINARY_DIR}/client/pages)
install(FILES ${pages}/container-builder.1
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
# Where each shell looks for them.
install(FILES ${pages}/container-builder
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${pages}/_container-builder
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${pages}/container-builder.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
# Not CMAKE_INSTALL_LIBDIR: systemd looks in lib on every machine.
install(FILES service/systemd/container-builder.service
  DESTINATION lib/systemd/system)

# The contract, for clients in other languages.
install(FILES proto/containerbuilder/v1/container_builder.proto
  DESTINATION ${CMAKE_INSTALL_DATADIR}/containerbuilder/proto/containerbuilder/v1)
install(FILES proto/containerbuilder/errors/v1/error_details.proto
  DESTINATION ${CMAKE_INSTALL_DATADIR}/containerbuilder/proto/containerbuilder/errors/v1)

install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
# As README links to them.
install(FILES service/THREAT_MODEL.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR}/service)
install(FILES client/VERSIONING.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/client)
install(DIRECTORY client/examples DESTINATION ${CMAKE_INSTALL_DOCDIR}/client
  USE_SOURCE_PERMISSIONS)
install(DIRECTORY service/examples DESTINATION ${CMAKE_INSTALL_DOCDIR}/service
  USE_SOURCE_PERMISSIONS)
