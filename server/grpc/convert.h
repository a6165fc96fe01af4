// Between the messages of bitrate.v1 and the internal types. Presence and ranges that an internal type cannot hold are
// checked here (INVALID_ARGUMENT naming the field); the rest by ValidateRequest and the engine.
#ifndef BITRATE_SERVER_GRPC_CONVERT_H_
#define BITRATE_SERVER_GRPC_CONVERT_H_

#include <string>

#include "bitrate/v1/inference_service.pb.h"
#include "bitrate/v1/model_service.pb.h"
#include "bitrate/v1/routing.pb.h"
#include "engine/base/status.h"
#include "server/generation.h"
#include "server/generation_request.h"
#include "server/serving_variant.h"

namespace bitrate {

struct CallInfo;

// `out->context` is the caller's to fill. Both messages have the same fields.
Status FromProto(const v1::GenerateRequest& in, GenerationRequest* out);
Status FromProto(const v1::GenerateStreamRequest& in, GenerationRequest* out);
StatusOr<ChatRequest> FromProto(const v1::ChatPrompt& in);
// A selector with the unit of the metadata where it names none itself.
RequestTarget FromProto(const v1::ModelSelector& in, const std::string& metadata_unit);

v1::FinishReason ToProto(FinishReason reason);
void ToProto(const RouteInfo& in, v1::Route* out);
void ToProto(const ScoredToken& in, v1::TokenLogprob* out);
void ToProto(const GenerationStarted& in, v1::StreamStarted* out);
void ToProto(GenerationDelta in, v1::StreamDelta* out);
void ToProto(const RequestTotals& in, v1::Usage* out);
void ToProto(const RequestTotals& in, v1::Timing* out);
void ToProto(const RequestTotals& in, const Prices& prices, v1::Cost* out);

// `public_view`: why a variant failed is told without the loader's own words, which may name files.
void ToProto(const VariantSnapshot& in, bool public_view, v1::Variant* out);
v1::VariantState ToProto(VariantState state);

RoutingPolicy FromProto(const v1::RoutingPolicy& in);
void ToProto(const RoutingPolicy& in, v1::RoutingPolicy* out);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_CONVERT_H_
