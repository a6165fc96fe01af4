// JSON as template values. Strings stay where they are: `json` must outlive the rendering.
// Thread rule: one rendering, one thread. Errors: INVALID_ARGUMENT when nested too deeply or out of budget.
#ifndef BITRATE_ENGINE_TEXT_JINJA_FROM_JSON_H_
#define BITRATE_ENGINE_TEXT_JINJA_FROM_JSON_H_

#include <nlohmann/json.hpp>

#include "engine/base/status.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

StatusOr<Value> FromJson(Runtime& runtime, const nlohmann::ordered_json& json, bool input);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_FROM_JSON_H_
