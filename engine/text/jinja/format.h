// The two formatting languages of Python strings: 'text' % arguments and 'text'.format(arguments).
// Thread rule: one rendering, one thread. Errors: INVALID_ARGUMENT.
#ifndef BITRATE_ENGINE_TEXT_JINJA_FORMAT_H_
#define BITRATE_ENGINE_TEXT_JINJA_FORMAT_H_

#include "engine/base/status.h"
#include "engine/text/jinja/call_args.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

// '%s of %(name)s' % args: a tuple gives several arguments, a dict named ones, anything else is the one argument.
StatusOr<Value> FormatPercent(Runtime& runtime, const Str& format, const Value& args);

// '{} {0} {name.attribute[key]!r:>8}'.format(args). Nested fields inside a specification are refused.
StatusOr<Value> FormatBraces(Runtime& runtime, const Str& format, const CallArgs& args);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_FORMAT_H_
