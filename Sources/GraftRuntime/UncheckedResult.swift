/// Carries a value out of a lock.
///
/// `@unchecked Sendable`: callers return values that do not refer to what the lock guards (sizes, a new handle, or
/// nothing).
struct UncheckedResult<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
