#include "engine/artifact/file_error.h"

#include <cerrno>
#include <system_error>

namespace bitrate {
namespace {

StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return StatusCode::kPermissionDenied;
    case ENAMETOOLONG:
    case ELOOP:
    case EISDIR:
      return StatusCode::kInvalidArgument;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return StatusCode::kResourceExhausted;
    case EIO:
      return StatusCode::kDataLoss;
    default:
      return StatusCode::kFailedPrecondition;
  }
}

}  // namespace

Status FileError(std::string_view path, std::string_view what, int error) {
  return MakeStatus(CodeOf(error), fmt::format("{}: {}: {}", path, what, std::generic_category().message(error)));
}

}  // namespace bitrate
