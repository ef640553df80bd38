#include "base/file_error.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/utf8.h"

namespace containerbuilder::service {

absl::Status FileError(int error, absl::string_view what) {
  const std::string message =
      absl::StrCat(ToUtf8(what), ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    case EXDEV:  // outside
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case ENXIO:
    case ENAMETOOLONG:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace containerbuilder::service
