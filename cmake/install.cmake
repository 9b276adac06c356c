# cmake --install: the program, the library with its public headers, and what find_package(Smalti) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(smalti_library INTERFACE)
set_target_properties(smalti_library PROPERTIES EXPORT_NAME smalti)
target_link_libraries(smalti_library INTERFACE smalti_house)

install(TARGETS smalti RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS smalti_library EXPORT SmaltiTargets)
foreach(folder base geom tile policy store wire net cache client server ops house)
  set_target_properties(smalti_${folder} PROPERTIES EXPORT_NAME ${folder})
  get_target_property(sets smalti_${folder} INTERFACE_HEADER_SETS)
  if(sets)
    set(headers FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  else()
    set(headers)
  endif()
  install(TARGETS smalti_${folder} EXPORT SmaltiTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} ${headers})
endforeach()

set(where ${CMAKE_INSTALL_LIBDIR}/cmake/Smalti)
install(EXPORT SmaltiTargets NAMESPACE Smalti:: DESTINATION ${where})
configure_file(cmake/SmaltiConfig.cmake.in SmaltiConfig.cmake COPYONLY)
write_basic_package_version_file(SmaltiConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/SmaltiConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/SmaltiConfigVersion.cmake
        DESTINATION ${where})
