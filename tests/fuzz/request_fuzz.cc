// Any bytes as a GenerateRequest: what passes the checks is within the limits, what does not names a field.
#include <cstdint>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "google/rpc/status.pb.h"
#include "server/api_error.h"
#include "server/grpc/convert.h"
#include "server/grpc/grpc_status.h"

namespace {

constexpr int64_t kVocab = 49152;

bitrate::Status Read(const bitrate::v1::GenerateRequest& message, bitrate::GenerationRequest* request) {
  using namespace bitrate;
  RETURN_IF_ERROR(FromProto(message, request));
  request->context.request_id = message.request_id();
  request->target = FromProto(message.model(), "");
  RETURN_IF_ERROR(ValidateTarget(request->target, request->context));
  RETURN_IF_ERROR(ValidateRequest(*request));
  return FieldErrorFromPrefix(ValidateSampling(request->sampling, request->stop, request->logprobs, kVocab));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitrate;
  v1::GenerateRequest message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  GenerationRequest request;
  const Status status = Read(message, &request);
  if (status.ok()) {
    BITRATE_CHECK(request.n >= 1 && request.n <= limits::kMaxChoices);
    BITRATE_CHECK(request.sampling.temperature >= 0 && request.sampling.top_p > 0);
    BITRATE_CHECK(!std::holds_alternative<std::monostate>(request.prompt));
    return 0;
  }
  const bool known = status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kUnimplemented;
  BITRATE_CHECK(known);
  BITRATE_CHECK(status.code() != StatusCode::kInvalidArgument || !GetDetail(status).fields.empty());
  const google::rpc::Status rpc = ToRpcStatus(status, message.request_id());
  BITRATE_CHECK(rpc.ByteSizeLong() <= kMaxErrorDetailBytes);
  return 0;
}
