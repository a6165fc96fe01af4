// Statements.
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"

namespace bitrate::jinja {

Status Interpreter::Run(TextBuilder* out) {
  out_ = out;
  Scope* scope = arena().New<Scope>();
  RETURN_IF_ERROR(ExecBlock(template_.body, scope));
  if (out->overflow()) {
    return InvalidArgument("the output grows past {} bytes", limits::kMaxTemplateOutputBytes);
  }
  return OkStatus();
}

Status Interpreter::ExecBlock(const Block& block, Scope* scope) {
  for (size_t i = 0; i < block.size; ++i) {
    RETURN_IF_ERROR(Exec(*block.items[i], scope));
    if (flow_ != Flow::kNormal) break;
  }
  return OkStatus();
}

Status Interpreter::Exec(const Stmt& stmt, Scope* scope) {
  line_ = stmt.line;
  DepthScope depth(*this);
  RETURN_IF_ERROR(depth.Enter());
  switch (stmt.kind) {
    case StmtKind::kText:
      out_->Append(*stmt.text);
      return Work(stmt.text->size);
    case StmtKind::kOutput:
      return ExecOutput(stmt, scope);
    case StmtKind::kSet:
      return ExecSet(stmt, scope);
    case StmtKind::kSetBlock:
      return ExecSetBlock(stmt, scope);
    case StmtKind::kIf:
      return ExecIf(stmt, scope);
    case StmtKind::kFor:
      return ExecFor(stmt, scope);
    case StmtKind::kMacro:
      return ExecMacro(stmt, scope);
    case StmtKind::kCallBlock:
      return ExecCallBlock(stmt, scope);
    case StmtKind::kFilterBlock:
      return ExecFilterBlock(stmt, scope);
    case StmtKind::kWith:
      return ExecWith(stmt, scope);
    case StmtKind::kScope:
      return ExecBlock(stmt.body, arena().New<Scope>(scope));
    case StmtKind::kBreak:
      flow_ = Flow::kBreak;
      return OkStatus();
    case StmtKind::kContinue:
      flow_ = Flow::kContinue;
      return OkStatus();
  }
  return OkStatus();
}

Status Interpreter::ExecOutput(const Stmt& stmt, Scope* scope) {
  ASSIGN_OR_RETURN(const Value value, Eval(*stmt.value, scope));
  RETURN_IF_ERROR(AppendStr(*this, value, out_));
  if (!out_->overflow()) return OkStatus();
  return InvalidArgument("the output grows past {} bytes", limits::kMaxTemplateOutputBytes);
}

Status Interpreter::ExecIf(const Stmt& stmt, Scope* scope) {
  for (size_t i = 0; i < stmt.num_branches; ++i) {
    const Branch& branch = stmt.branches[i];
    if (branch.test != nullptr) {
      ASSIGN_OR_RETURN(const Value test, Eval(*branch.test, scope));
      if (!Truthy(test)) continue;
    }
    return ExecBlock(branch.body, scope);
  }
  return OkStatus();
}

Status Interpreter::ExecFor(const Stmt& stmt, Scope* scope) {
  ASSIGN_OR_RETURN(const Value iterable, Eval(*stmt.value, scope));
  return RunLoop(stmt, scope, iterable, 0);
}

// The items that pass the loop's own `if`, which sees the target but not this loop's `loop`.
Status Interpreter::LoopItems(const Stmt& stmt, Scope* scope, const Value& iterable, LoopState* loop) {
  ASSIGN_OR_RETURN(const Items items, Iterate(*this, iterable));
  loop->items = items.data;
  loop->size = items.size;
  if (stmt.test == nullptr) return OkStatus();
  std::vector<Value> passed;
  Scope* const inner = arena().New<Scope>(scope);
  for (const Value& item : items) {
    RETURN_IF_ERROR(Step());
    const int64_t num_macros = num_macros_;
    RETURN_IF_ERROR(Assign(*stmt.target, item, inner));
    ASSIGN_OR_RETURN(const Value test, Eval(*stmt.test, inner));
    if (Truthy(test)) passed.push_back(item);
    Recycle(inner, num_macros);
  }
  RETURN_IF_ERROR(Reserve(passed.size() * sizeof(Value)));
  loop->items = arena().Copy(passed);
  loop->size = passed.size();
  return OkStatus();
}

Status Interpreter::RunLoop(const Stmt& stmt, Scope* scope, const Value& iterable, int depth) {
  LoopState* loop = arena().New<LoopState>();
  loop->stmt = &stmt;
  loop->scope = scope;
  loop->depth = depth;
  RETURN_IF_ERROR(LoopItems(stmt, scope, iterable, loop));
  if (loop->size == 0) return ExecBlock(stmt.otherwise, arena().New<Scope>(scope));
  Value self;
  self.kind = Kind::kLoop;
  self.loop = loop;
  Scope* inner = arena().New<Scope>(scope);
  for (; loop->index < loop->size; ++loop->index) {
    RETURN_IF_ERROR(Step());
    const int64_t num_macros = num_macros_;
    RETURN_IF_ERROR(Bind(template_.known.loop, self, inner));
    RETURN_IF_ERROR(Assign(*stmt.target, loop->items[loop->index], inner));
    RETURN_IF_ERROR(ExecBlock(stmt.body, inner));
    const Flow flow = std::exchange(flow_, Flow::kNormal);
    if (flow == Flow::kBreak) break;
    Recycle(inner, num_macros);
    if (inner->first != nullptr) inner = arena().New<Scope>(scope);
  }
  return OkStatus();
}

Status Interpreter::ExecSet(const Stmt& stmt, Scope* scope) {
  ASSIGN_OR_RETURN(const Value value, Eval(*stmt.value, scope));
  return Assign(*stmt.target, value, scope);
}

StatusOr<Value> Interpreter::Capture(const Block& block, Scope* scope) {
  TextBuilder text;
  TextBuilder* const outer = std::exchange(out_, &text);
  const Status status = ExecBlock(block, scope);
  out_ = outer;
  RETURN_IF_ERROR(status);
  return Finish(text);
}

Status Interpreter::ExecSetBlock(const Stmt& stmt, Scope* scope) {
  ASSIGN_OR_RETURN(Value text, Capture(stmt.body, arena().New<Scope>(scope)));
  if (stmt.value != nullptr) {
    body_ = text;
    ASSIGN_OR_RETURN(text, Eval(*stmt.value, scope));
  }
  return Assign(*stmt.target, text, scope);
}

Status Interpreter::ExecFilterBlock(const Stmt& stmt, Scope* scope) {
  Scope* inner = arena().New<Scope>(scope);
  ASSIGN_OR_RETURN(body_, Capture(stmt.body, inner));
  ASSIGN_OR_RETURN(const Value text, Eval(*stmt.value, inner));
  return AppendStr(*this, text, out_);
}

// The values are evaluated outside the new scope: `{% with a = b, b = a %}` swaps.
Status Interpreter::ExecWith(const Stmt& stmt, Scope* scope) {
  Scope* inner = arena().New<Scope>(scope);
  for (size_t i = 0; i < stmt.num_with; ++i) {
    ASSIGN_OR_RETURN(const Value value, Eval(*stmt.with_targets[2 * i + 1], scope));
    RETURN_IF_ERROR(Assign(*stmt.with_targets[2 * i], value, inner));
  }
  return ExecBlock(stmt.body, inner);
}

Status Interpreter::ExecMacro(const Stmt& stmt, Scope* scope) {
  return Bind(stmt.macro->name, MakeMacro(stmt.macro, scope), scope);
}

Status Interpreter::ExecCallBlock(const Stmt& stmt, Scope* scope) {
  static constexpr Str kCaller = {"caller", 6, nullptr, 0};
  const Value caller = MakeMacro(stmt.macro, scope);
  const Expr& call = *stmt.value;
  ASSIGN_OR_RETURN(const Value callee, Eval(*call.a, scope));
  CallArgs args;
  RETURN_IF_ERROR(EvalArguments(*call.args, scope, &args));
  args.named.push_back({&kCaller, caller});
  ASSIGN_OR_RETURN(const Value text, Call(callee, args));
  return AppendStr(*this, text, out_);
}

Status Interpreter::Bind(uint32_t name, const Value& value, Scope* scope) {
  int64_t seen = 0;
  for (Binding* binding = scope->first; binding != nullptr; binding = binding->next, ++seen) {
    if (binding->name == name) {
      binding->value = value;
      return Step(seen / 16);
    }
  }
  Binding* binding = free_bindings_;
  if (binding != nullptr) {
    free_bindings_ = binding->next;
  } else {
    binding = arena().New<Binding>();
  }
  *binding = {name, value, scope->first};
  scope->first = binding;
  return Step(seen / 16);
}

Value Interpreter::MakeMacro(const MacroDef* def, Scope* scope) {
  ++num_macros_;
  Value macro;
  macro.kind = Kind::kMacro;
  macro.macro = arena().New<Macro>(def, scope);
  return macro;
}

void Interpreter::Recycle(Scope* scope, int64_t num_macros_before) {
  if (num_macros_ != num_macros_before) return;
  while (Binding* binding = scope->first) {
    scope->first = binding->next;
    binding->next = free_bindings_;
    free_bindings_ = binding;
  }
}

Status Interpreter::AssignTuple(const Expr& target, const Value& value, Scope* scope) {
  DepthScope depth(*this);
  RETURN_IF_ERROR(depth.Enter());
  if (value.IsUndefined()) return UndefinedError(value);
  ASSIGN_OR_RETURN(const Items items, Iterate(*this, value));
  if (items.size != target.num_items) {
    return InvalidArgument("cannot unpack {} values into {} names", items.size, target.num_items);
  }
  for (size_t i = 0; i < items.size; ++i) RETURN_IF_ERROR(Assign(*target.items[i], items.data[i], scope));
  return OkStatus();
}

Status Interpreter::AssignAttribute(const Expr& target, const Value& value, Scope* scope) {
  ASSIGN_OR_RETURN(const Value object, Lookup(target.a->name, target.a->text, scope));
  if (object.kind != Kind::kNamespace) return InvalidArgument("only a namespace's attributes can be set");
  int64_t seen = 0;
  for (NamespaceAttribute* a = object.ns->first; a != nullptr; a = a->next, ++seen) {
    if (a->name->view() != target.text->view()) continue;
    a->value = value;
    return Step(seen / 16);
  }
  auto* attribute = arena().New<NamespaceAttribute>(target.text, value, nullptr);
  (object.ns->last != nullptr ? object.ns->last->next : object.ns->first) = attribute;
  object.ns->last = attribute;
  return Step(seen / 16);
}

Status Interpreter::Assign(const Expr& target, const Value& value, Scope* scope) {
  switch (target.kind) {
    case ExprKind::kName:
      return Bind(target.name, value, scope);
    case ExprKind::kTuple:
      return AssignTuple(target, value, scope);
    default:
      return AssignAttribute(target, value, scope);
  }
}

}  // namespace bitrate::jinja
