#include "server/telemetry.h"

namespace bitrate {
namespace {

class NullVariantTelemetry final : public VariantTelemetry {
 public:
  void OnStep(const StepStats&) override {}
  void OnGauges(const InstanceGauges&) override {}
  void OnPreemption() override {}
  void OnPromptTokens(int, int) override {}
  void OnSequenceFinished(const SequenceRecord&) override {}
  void OnRequestFinished(const RequestReport&) override {}
  void OnRoutingDecision(std::string_view, std::string_view, RouteReason) override {}
  void OnStateChange(VariantState) override {}
  void OnLoaded(const VariantInfo&) override {}
  void OnUnloaded() override {}
};

class NullTelemetry final : public Telemetry {
 public:
  VariantTelemetry* ForVariant(const VariantLabels&) override { return &variant_; }
  void OnUnroutedRequest(const RequestReport&) override {}
  void OnRpcFinished(std::string_view, std::string_view, std::string_view, double) override {}

 private:
  NullVariantTelemetry variant_;
};

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kCancelled:
      return "cancelled";
    case Outcome::kDeadline:
      return "deadline";
    case Outcome::kRejected:
      return "rejected";
    case Outcome::kError:
      return "error";
  }
  return "error";
}

std::string_view VariantStateName(VariantState state) {
  switch (state) {
    case VariantState::kLoading:
      return "loading";
    case VariantState::kReady:
      return "ready";
    case VariantState::kDraining:
      return "draining";
    case VariantState::kFailed:
      return "failed";
    case VariantState::kUnloaded:
      return "unloaded";
  }
  return "unloaded";
}

std::string_view RouteReasonName(RouteReason reason) {
  switch (reason) {
    case RouteReason::kWeight:
      return "weight";
    case RouteReason::kPin:
      return "pin";
    case RouteReason::kSticky:
      return "sticky";
    case RouteReason::kFallback:
      return "fallback";
    case RouteReason::kDefault:
      return "default";
  }
  return "default";
}

std::unique_ptr<Telemetry> MakeNullTelemetry() { return std::make_unique<NullTelemetry>(); }

}  // namespace bitrate
