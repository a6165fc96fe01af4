#include "engine/text/jinja/format.h"

#include <cmath>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/format_spec.h"
#include "engine/text/jinja/number_text.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/subscript.h"
#include "engine/text/jinja/text_builder.h"

namespace bitrate::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Str& format, const Value& args)
      : runtime_(runtime), format_(format), text_(format.view()), args_(args) {}

  StatusOr<Value> Run() {
    while (at_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', at_), text_.size());
      out_.AppendSlice(format_, at_, percent);
      at_ = percent;
      if (percent < text_.size()) RETURN_IF_ERROR(Field());
    }
    const size_t given = args_.IsList() && args_.list->IsTuple() ? args_.list->size : 1;
    const bool mapping = args_.IsDict() || args_.IsUndefined() ||
                         (args_.IsList() && args_.list->IsIndexable() && !args_.list->IsTuple());
    if (used_ < given && !mapping) return InvalidArgument("not all arguments of '%' were used");
    RETURN_IF_ERROR(runtime_.Work(out_.size()));
    return runtime_.Finish(out_);
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  StatusOr<Value> NextArgument() {
    const bool tuple = args_.IsList() && args_.list->IsTuple();
    if (used_ >= (tuple ? args_.list->size : 1)) return InvalidArgument("not enough arguments for '%'");
    ++used_;
    return tuple ? args_.list->items[used_ - 1] : args_;
  }

  Status Field() {
    RETURN_IF_ERROR(runtime_.Step());
    ++at_;
    Value argument;
    bool named = false;
    if (Peek() == '(') {
      const size_t close = text_.find(')', at_);
      if (close == std::string_view::npos) return InvalidArgument("an incomplete '%(' format");
      if (!args_.IsDict()) return InvalidArgument("a '%(name)' format needs a mapping");
      const Value* found = args_.dict->Find(text_.substr(at_ + 1, close - at_ - 1));
      if (found == nullptr) return InvalidArgument("a '%(name)' format names a missing key");
      argument = *found;
      named = true;
      at_ = close + 1;
    }
    FormatSpec spec;
    RETURN_IF_ERROR(ParseSpec(&spec));
    if (spec.type == '%') {
      if (text_[at_ - 2] != '%') return InvalidArgument("'%%' takes no flags");
      out_.Append("%", false);
      return OkStatus();
    }
    if (!named) {
      ASSIGN_OR_RETURN(argument, NextArgument());
    }
    return Write(argument, spec);
  }

  Status ParseSpec(FormatSpec* spec) {
    bool zero = false;
    for (bool flags = true; flags;) {
      switch (Peek()) {
        case '-':
          spec->align = '<';
          break;
        case '+':
          spec->sign = '+';
          break;
        case ' ':
          spec->sign = spec->sign == '+' ? '+' : ' ';
          break;
        case '#':
          spec->alternate = true;
          break;
        case '0':
          zero = true;
          break;
        default:
          flags = false;
          continue;
      }
      ++at_;
    }
    ASSIGN_OR_RETURN(spec->width, ParseCount(text_, &at_));
    if (Peek() == '.') {
      ++at_;
      ASSIGN_OR_RETURN(spec->precision, ParseCount(text_, &at_));
      spec->precision = std::max<int64_t>(spec->precision, 0);
    }
    while (Peek() == 'l' || Peek() == 'h' || Peek() == 'L') ++at_;
    if (at_ >= text_.size()) return InvalidArgument("an incomplete '%' format");
    spec->type = text_[at_++];
    static constexpr std::string_view kTextTypes = "sr";
    if (zero && spec->align == '\0' && kTextTypes.find(spec->type) == std::string_view::npos) {
      spec->align = '=';
      spec->fill.assign(1, '0');
    }
    return OkStatus();
  }

  Status Write(const Value& argument, FormatSpec& spec) {
    TextBuilder field;
    switch (spec.type) {
      case 's':
        RETURN_IF_ERROR(AppendStr(runtime_, argument, &field));
        break;
      case 'r':
        RETURN_IF_ERROR(AppendRepr(runtime_, argument, &field));
        break;
      case 'c':
        RETURN_IF_ERROR(Character(argument, &field));
        break;
      default:
        RETURN_IF_ERROR(Number(argument, spec, &field));
    }
    ASSIGN_OR_RETURN(const Value text, runtime_.Finish(field));
    Str shown = *text.str;
    const bool cut = (spec.type == 's' || spec.type == 'r') && spec.precision >= 0;
    if (cut) {
      const size_t end = ByteOfChar(shown.view(), static_cast<size_t>(spec.precision));
      ASSIGN_OR_RETURN(const Value part, runtime_.Slice(*text.str, 0, end));
      shown = *part.str;
    }
    AppendPadded(shown, spec, '>', &out_);
    return OkStatus();
  }

  Status Character(const Value& argument, TextBuilder* field) {
    if (argument.IsString() && NumChars(argument.text()) == 1) {
      field->Append(*argument.str);
      return OkStatus();
    }
    if (!argument.IsInteger() || argument.AsInt() < 0 || argument.AsInt() > 0x10ffff) {
      return InvalidArgument("'%c' needs a character");
    }
    std::string bytes;
    AppendUtf8(static_cast<uint32_t>(argument.AsInt()), &bytes);
    field->Append(bytes, argument.input);
    return OkStatus();
  }

  Status Number(const Value& argument, FormatSpec& spec, TextBuilder* field) {
    static constexpr std::string_view kTypes = "diuoxXeEfFgG";
    if (kTypes.find(spec.type) == std::string_view::npos) {
      return InvalidArgument("'%' does not know the format '{}'", spec.type);
    }
    Value number = argument;
    if (spec.type == 'd' || spec.type == 'i' || spec.type == 'u') {
      spec.type = 'd';
      if (number.kind == Kind::kFloat) {
        if (!(std::fabs(number.real) < 9.2e18)) return InvalidArgument("'%d' of a number beyond 64 bits");
        number = Value::Int(static_cast<int64_t>(number.real), number.input);
      }
    }
    FormatSpec bare = spec;
    ASSIGN_OR_RETURN(const std::string digits, FormatNumber(number, bare));
    field->Append(digits, argument.input);
    return OkStatus();
  }

  Runtime& runtime_;
  const Str& format_;
  const std::string_view text_;
  const Value args_;
  size_t at_ = 0;
  size_t used_ = 0;
  TextBuilder out_;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Str& format, const CallArgs& args)
      : runtime_(runtime), format_(format), text_(format.view()), args_(args) {}

  StatusOr<Value> Run() {
    while (at_ < text_.size()) {
      const size_t brace = std::min(text_.find_first_of("{}", at_), text_.size());
      out_.AppendSlice(format_, at_, brace);
      at_ = brace;
      if (brace == text_.size()) break;
      if (brace + 1 < text_.size() && text_[brace + 1] == text_[brace]) {
        out_.AppendSlice(format_, brace, brace + 1);
        at_ = brace + 2;
        continue;
      }
      if (text_[brace] == '}') return InvalidArgument("a single '}}' in a format");
      RETURN_IF_ERROR(Field());
    }
    return runtime_.Finish(out_);
  }

 private:
  Status Field() {
    RETURN_IF_ERROR(runtime_.Step());
    const size_t close = text_.find('}', at_);
    if (close == std::string_view::npos) return InvalidArgument("a '{{' in a format is never closed");
    std::string_view field = text_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    std::string_view spec_text;
    const size_t colon = field.find(':');
    if (colon != std::string_view::npos) {
      spec_text = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    if (spec_text.find('{') != std::string_view::npos) return InvalidArgument("nested format fields are not supported");
    char conversion = '\0';
    const size_t bang = field.find('!');
    if (bang != std::string_view::npos) {
      if (bang + 2 != field.size()) return InvalidArgument("a format has a wrong conversion");
      conversion = field[bang + 1];
      field = field.substr(0, bang);
    }
    ASSIGN_OR_RETURN(Value value, Lookup(field));
    FormatSpec spec;
    RETURN_IF_ERROR(ParseSpec(spec_text, &spec));
    const bool text = value.IsString() || conversion != '\0';
    if (text && (spec.sign != '\0' || spec.separator != '\0' || spec.alternate || spec.align == '=')) {
      if (spec.align != '=' || spec.fill != "0")
        return InvalidArgument("a format of a string has an option of numbers");
      spec.align = '<';  // {:05} pads a string on its right
    }
    const bool plain = conversion == '\0' && !value.IsString() && !value.IsNumber();
    if (plain && !spec_text.empty()) return InvalidArgument("a '{}' takes no format", TypeName(value));
    if (conversion == '\0' && value.kind == Kind::kBool && !spec_text.empty()) {
      value = Value::Int(value.AsInt(), value.input);
    }
    return Write(value, conversion, spec);
  }

  StatusOr<Value> Lookup(std::string_view field) {
    const size_t end = std::min(field.find_first_of(".["), field.size());
    const std::string_view name = field.substr(0, end);
    Value value;
    const std::optional<int64_t> index = ParseInteger(name, 10);
    if (name.empty() || index.has_value()) {
      (name.empty() ? counted_ : numbered_) = true;
      if (counted_ && numbered_) return InvalidArgument("a format mixes '{{}}' and '{{0}}'");
      const size_t place = name.empty() ? next_++ : static_cast<size_t>(*index);
      if (place >= args_.positional.size()) return InvalidArgument("a format asks for an argument that is not given");
      value = args_.positional[place];
    } else {
      const NamedValue* found = nullptr;
      for (const NamedValue& named : args_.named) found = named.name->view() == name ? &named : found;
      if (found == nullptr) return InvalidArgument("a format asks for an argument that is not given");
      value = found->value;
    }
    for (size_t at = end; at < field.size();) {
      const bool bracket = field[at] == '[';
      const size_t stop = bracket ? field.find(']', at) : std::min(field.find_first_of(".[", at + 1), field.size());
      if (stop == std::string_view::npos) return InvalidArgument("a format field has an open '['");
      const std::string_view part = field.substr(at + 1, stop - at - 1);
      const Value key = runtime_.Literal(part);
      const std::optional<int64_t> number = bracket ? ParseInteger(part, 10) : std::nullopt;
      StatusOr<Value> inner = !bracket ? GetAttribute(runtime_, value, *key.str)
                                       : GetItem(runtime_, value, number.has_value() ? Value::Int(*number) : key);
      ASSIGN_OR_RETURN(value, std::move(inner));
      at = stop + (bracket ? 1 : 0);
    }
    return value;
  }

  static Status ParseSpec(std::string_view text, FormatSpec* spec) {
    static constexpr std::string_view kAligns = "<>^=";
    const auto is_align = [](char c) { return kAligns.find(c) != std::string_view::npos; };
    size_t at = 0;
    const size_t first = text.empty() ? 0 : CharAt(text, 0).size;
    if (first < text.size() && is_align(text[first])) {
      spec->fill = std::string(text.substr(0, first));
      spec->align = text[first];
      at = first + 1;
    } else if (!text.empty() && is_align(text[0])) {
      spec->align = text[at++];
    }
    const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
    if (peek() == '+' || peek() == '-' || peek() == ' ') spec->sign = text[at++];
    if (spec->sign == '-') spec->sign = '\0';
    if (peek() == '#') spec->alternate = text[at++] == '#';
    if (peek() == '0') {
      ++at;
      if (spec->align == '\0') {
        spec->align = '=';
        spec->fill.assign(1, '0');
      }
    }
    ASSIGN_OR_RETURN(spec->width, ParseCount(text, &at));
    if (peek() == ',' || peek() == '_') spec->separator = text[at++];
    if (peek() == '.') {
      ++at;
      ASSIGN_OR_RETURN(spec->precision, ParseCount(text, &at));
      if (spec->precision < 0) return InvalidArgument("a format has '.' without digits");
    }
    if (at < text.size()) spec->type = text[at++];
    if (at != text.size()) return InvalidArgument("a format specification is wrong");
    return OkStatus();
  }

  Status Write(Value value, char conversion, FormatSpec& spec) {
    TextBuilder field;
    const bool number = value.IsNumber() && conversion == '\0' && value.kind != Kind::kBool;
    if (number) {
      if (spec.type == 'n') spec.type = value.IsInteger() ? 'd' : 'g';
      static constexpr std::string_view kTypes = "dxXobeEfFgG%";
      if (spec.type != '\0' && kTypes.find(spec.type) == std::string_view::npos) {
        return InvalidArgument("a format has the unknown type '{}'", spec.type);
      }
      const bool whole = spec.type == '\0' || std::string_view("dxXob").find(spec.type) != std::string_view::npos;
      if (value.IsInteger() && whole && spec.precision >= 0) return InvalidArgument("an integer takes no precision");
      ASSIGN_OR_RETURN(const std::string digits, FormatNumber(value, spec));
      field.Append(digits, value.input);
    } else {
      if (spec.type != '\0' && spec.type != 's') return InvalidArgument("a format type needs a number");
      if (conversion == 'r' || conversion == 'a') {
        RETURN_IF_ERROR(AppendRepr(runtime_, value, &field));
      } else {
        RETURN_IF_ERROR(AppendStr(runtime_, value, &field));
      }
    }
    ASSIGN_OR_RETURN(Value text, runtime_.Finish(field));
    if (!number && spec.precision >= 0) {
      const size_t end = ByteOfChar(text.text(), static_cast<size_t>(spec.precision));
      ASSIGN_OR_RETURN(text, runtime_.Slice(*text.str, 0, end));
    }
    AppendPadded(*text.str, spec, number ? '>' : '<', &out_);
    return runtime_.Work(out_.overflow() ? 0 : static_cast<size_t>(std::max<int64_t>(spec.width, 0)));
  }

  Runtime& runtime_;
  const Str& format_;
  const std::string_view text_;
  const CallArgs& args_;
  size_t at_ = 0;
  size_t next_ = 0;
  bool counted_ = false, numbered_ = false;  // fields seen so far
  TextBuilder out_;
};

}  // namespace

StatusOr<Value> FormatPercent(Runtime& runtime, const Str& format, const Value& args) {
  return PercentFormatter(runtime, format, args).Run();
}

StatusOr<Value> FormatBraces(Runtime& runtime, const Str& format, const CallArgs& args) {
  return BraceFormatter(runtime, format, args).Run();
}

}  // namespace bitrate::jinja
