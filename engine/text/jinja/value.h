// The values of a template: what Python's would be, in 16 bytes, with one bit of origin.
//
// `input` means "came from the request" (a message, a tool, a client's variable). Numbers carry it as a bit, strings
// byte by byte as ranges, containers as a bit that covers their punctuation when printed. Whoever computes a value
// from others keeps the bit; when unsure, input wins: a special token inside such text stays text.
//
// Ownership: everything points into the Arena of one rendering (or of the parsed template, or the request's JSON,
// which outlive it). Thread rule: one rendering, one thread. Python's bytes, sets and integers beyond 64 bits do not
// exist here (an unsigned 64-bit number from JSON prints as itself and computes as a float).
#ifndef BITRATE_ENGINE_TEXT_JINJA_VALUE_H_
#define BITRATE_ENGINE_TEXT_JINJA_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/text/jinja/byte_range.h"

namespace bitrate::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kUint,
  kFloat,
  kString,
  kList,
  kDict,
  kNamespace,
  kMacro,
  kFunction,
  kMethod,
  kLoop,
  kCycler,
  kJoiner
};

struct Str {
  const char* data = nullptr;
  size_t size = 0;                    // bytes
  const ByteRange* ranges = nullptr;  // from the request: sorted, disjoint, not touching
  size_t num_ranges = 0;
  std::string_view view() const { return {data, size}; }
};

struct List;
struct Dict;
struct Namespace;
struct Macro;
struct Method;
struct LoopState;
struct Cycler;
struct Joiner;

enum class Function : uint8_t { kRange, kDict, kNamespace, kCycler, kJoiner, kRaiseException, kStrftimeNow };

struct Value {
  Kind kind = Kind::kUndefined;
  bool input = false;
  union {
    const Str* str = nullptr;  // kString; for kUndefined the name to complain about, or null
    bool boolean;
    int64_t integer;
    uint64_t unsigned_integer;
    double real;
    List* list;
    const Dict* dict;
    Namespace* ns;
    const Macro* macro;
    Function function;
    const Method* method;
    LoopState* loop;
    Cycler* cycler;
    Joiner* joiner;
  };

  static Value None() {
    Value v;
    v.kind = Kind::kNone;
    return v;
  }
  static Value Bool(bool b) {
    Value v;
    v.kind = Kind::kBool;
    v.boolean = b;
    return v;
  }
  static Value Int(int64_t i, bool input = false) {
    Value v;
    v.kind = Kind::kInt;
    v.integer = i;
    v.input = input;
    return v;
  }
  static Value Float(double f, bool input = false) {
    Value v;
    v.kind = Kind::kFloat;
    v.real = f;
    v.input = input;
    return v;
  }
  static Value Of(const Str* s) {
    Value v;
    v.kind = Kind::kString;
    v.str = s;
    return v;
  }
  static Value Of(List* l, bool input = false) {
    Value v;
    v.kind = Kind::kList;
    v.list = l;
    v.input = input;
    return v;
  }
  static Value Of(const Dict* d, bool input = false) {
    Value v;
    v.kind = Kind::kDict;
    v.dict = d;
    v.input = input;
    return v;
  }
  static Value Undefined(const Str* name = nullptr) {
    Value v;
    v.str = name;
    return v;
  }

  bool IsUndefined() const { return kind == Kind::kUndefined; }
  bool IsNone() const { return kind == Kind::kNone; }
  bool IsString() const { return kind == Kind::kString; }
  bool IsList() const { return kind == Kind::kList; }
  bool IsDict() const { return kind == Kind::kDict; }
  // Python's int, bool included.
  bool IsInteger() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool IsNumber() const { return IsInteger() || kind == Kind::kFloat || kind == Kind::kUint; }
  std::string_view text() const { return str->view(); }                                // kString only
  int64_t AsInt() const { return kind == Kind::kBool ? (boolean ? 1 : 0) : integer; }  // IsInteger() only
  double AsDouble() const;                                                             // IsNumber() only
};
static_assert(sizeof(Value) == 16);

// What Python type a sequence stands for: it decides printing, indexing and whether it runs out.
enum class Seq : uint8_t { kList, kTuple, kGroup, kRange, kKeys, kValues, kItems, kGenerator };

struct List {
  const Value* items = nullptr;
  size_t size = 0;
  Seq seq = Seq::kList;
  size_t consumed = 0;                    // kGenerator: items already taken
  int64_t start = 0, stop = 0, step = 1;  // kRange, for printing

  bool IsTuple() const { return seq == Seq::kTuple || seq == Seq::kGroup; }
  bool IsIndexable() const { return seq == Seq::kList || seq == Seq::kRange || IsTuple(); }
};

struct DictEntry {
  Value key;
  Value value;
};

// Insertion-ordered, immutable. `by_key` indexes the string keys in byte order when there are many entries.
struct Dict {
  const DictEntry* entries = nullptr;
  size_t size = 0;
  const uint32_t* by_key = nullptr;
  size_t num_by_key = 0;

  const Value* Find(std::string_view key) const;  // null when absent
};

struct NamespaceAttribute {
  const Str* name = nullptr;
  Value value;
  NamespaceAttribute* next = nullptr;
};

struct Namespace {
  NamespaceAttribute* first = nullptr;
  NamespaceAttribute* last = nullptr;
};

struct Cycler {
  const Value* items = nullptr;
  size_t size = 0;
  size_t position = 0;
};

struct Joiner {
  Value separator;
  bool used = false;
};

// A method read from a value but not yet called, such as 'abc'.upper.
struct Method {
  Value self;
  const Str* name = nullptr;
};

bool Truthy(const Value& value);
std::string_view TypeName(const Value& value);  // Python's name of the type, for messages
// Whether printing the value would show anything that came from the request.
bool FromInput(const Value& value);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_VALUE_H_
