#include "server/grpc/reflection_v1.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "grpc/reflection/v1/reflection.grpc.pb.h"

namespace bitrate {
namespace {

namespace rpb = grpc::reflection::v1;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// The file and everything it imports, imports last; a file that several import is sent once.
void AddFile(const FileDescriptor* file, std::set<std::string>* seen, rpb::FileDescriptorResponse* out) {
  if (!seen->insert(file->name()).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  out->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), seen, out);
}

void SetError(grpc::StatusCode code, const std::string& message, rpb::ServerReflectionResponse* out) {
  out->mutable_error_response()->set_error_code(code);
  out->mutable_error_response()->set_error_message(message);
}

void SetFile(const FileDescriptor* file, const std::string& what, rpb::ServerReflectionResponse* out) {
  if (file == nullptr) return SetError(grpc::StatusCode::NOT_FOUND, "not found: " + what, out);
  std::set<std::string> seen;
  AddFile(file, &seen, out->mutable_file_descriptor_response());
}

void Answer(const std::vector<std::string>& services, const rpb::ServerReflectionRequest& request,
            rpb::ServerReflectionResponse* out) {
  using Request = rpb::ServerReflectionRequest;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  out->set_valid_host(request.host());
  *out->mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return SetFile(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(), out);
    case Request::kFileContainingSymbol:
      return SetFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), request.file_containing_symbol(),
                     out);
    case Request::kListServices:
      for (const std::string& name : services) out->mutable_list_services_response()->add_service()->set_name(name);
      return;
    case Request::kFileContainingExtension:
    case Request::kAllExtensionNumbersOfType:
      // proto3 messages have no extensions.
      return SetError(grpc::StatusCode::NOT_FOUND, "there are no extensions", out);
    default:
      return SetError(grpc::StatusCode::INVALID_ARGUMENT, "message_request: got nothing, wanted a question", out);
  }
}

// One request is read, answered and written before the next is read. Deletes itself when gRPC is done with it.
class Reactor final : public grpc::ServerBidiReactor<rpb::ServerReflectionRequest, rpb::ServerReflectionResponse> {
 public:
  explicit Reactor(const std::vector<std::string>* services) : services_(services) { StartRead(&request_); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    response_.Clear();
    Answer(*services_, request_, &response_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

  const std::vector<std::string>* const services_;
  rpb::ServerReflectionRequest request_;
  rpb::ServerReflectionResponse response_;
};

class ReflectionV1 final : public rpb::ServerReflection::CallbackService {
 public:
  explicit ReflectionV1(std::vector<std::string> services) : services_(std::move(services)) {}

  grpc::ServerBidiReactor<rpb::ServerReflectionRequest, rpb::ServerReflectionResponse>* ServerReflectionInfo(
      grpc::CallbackServerContext*) override {
    return new Reactor(&services_);
  }

 private:
  const std::vector<std::string> services_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeReflectionV1(std::vector<std::string> services) {
  return std::make_unique<ReflectionV1>(std::move(services));
}

}  // namespace bitrate
