#include "engine/base/status.h"

namespace bitrate {

Status MakeStatus(StatusCode code, std::string_view message) { return Status(code, ToAbsl(message)); }

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  Status annotated = MakeStatus(status.code(), fmt::format("{}: {}", context, ToStd(status.message())));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

}  // namespace bitrate
