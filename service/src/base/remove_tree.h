#ifndef CONTAINERBUILDER_BASE_REMOVE_TREE_H_
#define CONTAINERBUILDER_BASE_REMOVE_TREE_H_

#include <string>
#include <system_error>

namespace containerbuilder::service {

// Takes a folder away with all that is in it, also where there are folders that
// deny it to their owner, and however deep they are. One that is not there is
// no error.
std::error_code RemoveTree(const std::string& path);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_REMOVE_TREE_H_
