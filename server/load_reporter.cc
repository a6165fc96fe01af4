#include "server/load_reporter.h"

#include <chrono>
#include <cstdio>

namespace bitrate {
namespace {

constexpr int kBarWidth = 28;
constexpr auto kRedraw = std::chrono::milliseconds(50);

class Reporter final : public LoadReporter {
 public:
  Reporter(RequestLog* log, bool is_terminal) : log_(log), is_terminal_(is_terminal) {}

  void OnLoadStart(const std::string& model, const std::string& variant) override {
    name_ = model + ":" + variant;
    last_draw_ = {};
    if (!is_terminal_) log_->Write(LogLevel::kInfo, "loading", {{"model", model}, {"variant", variant}});
  }

  void OnProgress(std::string_view what, int64_t done, int64_t total) override {
    if (!is_terminal_ || total <= 0) return;
    const auto now = std::chrono::steady_clock::now();
    if (done < total && now - last_draw_ < kRedraw) return;
    last_draw_ = now;
    const int filled = static_cast<int>(kBarWidth * done / total);
    std::string bar(static_cast<size_t>(filled), '#');
    bar.resize(kBarWidth, '.');
    std::fputs(fmt::format("\r\x1b[2K  {:<24} [{}] {:>3}%  {}", name_, bar, 100 * done / total, what).c_str(), stderr);
    std::fflush(stderr);
  }

  void OnLoadEnd(const VariantSnapshot& variant) override {
    if (is_terminal_) std::fputs("\r\x1b[2K", stderr);
    if (variant.serving == nullptr) return;  // the failure is logged by the server
    const VariantInfo& info = variant.serving->info;
    log_->Write(LogLevel::kInfo, "loaded",
                {{"model", variant.model},
                 {"variant", variant.settings.name},
                 {"precision", info.precision},
                 {"weight_bits", info.weight_bits},
                 {"weight_mib", static_cast<double>(info.weight_bytes) / (1 << 20)},
                 {"own_mib", static_cast<double>(info.unique_weight_bytes) / (1 << 20)},
                 {"mapped_mib", static_cast<double>(info.mapped_weight_bytes) / (1 << 20)},
                 {"kv_mib", static_cast<double>(info.kv_bytes) / (1 << 20)},
                 {"kernel", info.kernel},
                 {"load_s", info.load_seconds}});
  }

 private:
  RequestLog* const log_;
  const bool is_terminal_;
  std::string name_;
  std::chrono::steady_clock::time_point last_draw_{};
};

}  // namespace

std::unique_ptr<LoadReporter> MakeLoadReporter(RequestLog* log, bool is_terminal) {
  return std::make_unique<Reporter>(log, is_terminal);
}

}  // namespace bitrate
