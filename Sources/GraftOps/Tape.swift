/// Records what the backward pass will need, and nothing else.
///
/// An operation computes its output at once. When the tape records and one of the operation's inputs requires a
/// gradient, it leaves a record: a closure that turns the output's gradient into the inputs' gradients and holds
/// the least it needs for that. Whatever lies below the first trainable weight leaves no record and keeps no
/// activation.
public final class Tape {
  /// How layers that differ between training and use behave.
  public enum Mode: Sendable, Equatable {
    /// Running statistics, no dropout, nothing recorded.
    case inference
    /// Batch statistics, dropout and records. `seed` determines every random number of the step.
    case training(seed: UInt64)
  }

  /// How layers that differ between training and use behave.
  public let mode: Mode
  /// Which parts ``checkpoint(_:_:keeping:)`` forgets; none where the whole is a part already.
  package let recomputation: Recomputation?
  /// True where a forgotten part is computed again: it leaves no trace a second time.
  package let isReplay: Bool
  private var records: [Record] = []
  private var draws: UInt32 = 0

  private struct Record {
    /// Held so that no output's identity is reused while the record lives.
    let outputs: [GradientKey]
    let backward: ([Tensor?], Gradients) throws -> Void
  }

  /// Starts an empty tape.
  ///
  /// - Parameters:
  ///   - mode: how layers that differ between training and use behave.
  ///   - recomputation: what training keeps not and computes again in the backward pass.
  public init(_ mode: Mode = .inference, recomputation: Recomputation = .norms) {
    self.mode = mode
    self.recomputation = recomputation
    isReplay = false
  }

  /// A tape for a part of what another records, drawing the random numbers behind `draws`.
  private init(_ mode: Mode, behind draws: UInt32, isReplay: Bool) {
    self.mode = mode
    recomputation = nil
    self.isReplay = isReplay
    self.draws = draws
  }

  /// Number of records; nothing below the first trainable weight leaves one.
  package var recordCount: Int { records.count }

  /// True in training.
  package var isTraining: Bool { mode != .inference }

  /// A key for the next random operation: the step's seed and a running number, so that the backward pass can
  /// draw the same numbers again.
  package func nextRandomKey() -> (UInt32, UInt32, UInt32) {
    guard case .training(let seed) = mode else { preconditionFailure("no random numbers at inference") }
    draws += 1
    return (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32), draws)
  }

  /// True when a gradient will be asked of something computed from `inputs`.
  package func needsGradient(_ inputs: Tensor?...) -> Bool {
    isTraining && inputs.contains { $0?.requiresGradient == true }
  }

  func needsGradient(_ input: LinearInput, _ others: Tensor?...) -> Bool {
    isTraining && (input.gradientKey.requiresGradient || others.contains { $0?.requiresGradient == true })
  }

  /// Leaves a record for `output`.
  ///
  /// - Parameter backward: receives the output's gradient and adds the inputs' gradients.
  package func record(_ output: Tensor, _ backward: @escaping (Tensor, Gradients) throws -> Void) {
    record([output]) { received, gradients in
      if let gradient = received[0] { try backward(gradient, gradients) }
    }
  }

  /// Leaves one record for several outputs of an operation.
  ///
  /// - Parameter backward: receives a gradient an output, `nil` where none arrived (but never for all of them), and
  ///   adds the inputs' gradients.
  package func record(_ outputs: [Tensor], _ backward: @escaping ([Tensor?], Gradients) throws -> Void) {
    record(outputs.map(\.gradientKey), backward)
  }

  /// The same for what is known by its keys alone, because it is not in memory.
  func record(_ outputs: [GradientKey], _ backward: @escaping ([Tensor?], Gradients) throws -> Void) {
    for output in outputs { output.requiresGradient = true }
    records.append(Record(outputs: outputs, backward: backward))
  }

  /// Runs the records backwards from `output`, whose gradient is `seed`, and forgets them one by one, so that each
  /// activation is freed as soon as its gradient is known.
  package func backward(from output: Tensor, seed: Tensor) throws {
    try backward(from: [(output, seed)])
  }

  /// The same from several outputs in one pass, each with its own seed: of a sum of losses, the seed is a loss's
  /// weight.
  package func backward(from outputs: [(output: Tensor, seed: Tensor)]) throws {
    let gradients = Gradients()
    for (output, seed) in outputs { try gradients.add(seed, to: output.gradientKey) }
    try unwind(gradients)
    try gradients.sumSlices()
  }

  /// Computes a part of the model that is forgotten and, in the backward pass, computed again to the same bits.
  ///
  /// Of what `body` computes only the result stays in memory, and whatever `body` holds on to: its input. A tape that
  /// keeps such parts, and a part without anything trained in or below it, just runs `body`. Source: arXiv 1604.06174.
  ///
  /// - Parameters:
  ///   - kind: what it is.
  ///   - body: the part; it must compute the same each time it is called.
  ///   - output: the tensor in the result that the rest of the model depends on.
  package func checkpoint<Value>(
    _ kind: Recomputation, _ body: @escaping (Tape) throws -> Value,
    keeping output: @escaping (Value) -> Tensor
  ) throws -> Value {
    guard isTraining, let recomputation, kind <= recomputation else { return try body(self) }
    let drawn = draws
    let part = Tape(mode, behind: drawn, isReplay: false)
    let value = try body(part)
    draws = part.draws
    guard part.recordCount > 0 else { return value }
    // Without the tape itself, which holds this record: what is never unwound must still be freed.
    record(output(value)) { [mode] gradient, gradients in
      let again = Tape(mode, behind: drawn, isReplay: true)
      try gradients.add(gradient, to: output(body(again)))
      try again.unwind(gradients)
    }
    return value
  }

  private func unwind(_ gradients: Gradients) throws {
    while let record = records.popLast() {
      let received = record.outputs.map { gradients.take(ObjectIdentifier($0)) }
      if received.contains(where: { $0 != nil }) { try record.backward(received, gradients) }
    }
  }
}

/// Gradients of intermediate tensors during one backward pass.
package final class Gradients {
  private var sums: [ObjectIdentifier: Tensor] = [:]
  /// Parameters of which slices were left; a pass that fails takes it along, so that nothing of it is added later.
  private var sliced: [ObjectIdentifier: (slices: GradientSlices, pending: Set<Int>)] = [:]

  /// Takes a gradient out: nothing will be added to it any more.
  func take(_ identifier: ObjectIdentifier) -> Tensor? { sums.removeValue(forKey: identifier) }

  /// Lets a product leave slices of the gradients of parameters, which are added up at the end.
  ///
  /// - Parameter compute: receives where to write, and how many slices it must write at least; returns how many may hold
  ///   something.
  func leaveSlices(
    of windows: [GradientSlices.Window], _ compute: (Tensor, _ least: Int) throws -> Int
  ) throws {
    let slices = windows[0].slices
    let identifier = ObjectIdentifier(slices)
    let indices = windows.map(\.index)
    // A weight that is used twice: its slices have one place.
    if let known = sliced[identifier], !known.pending.isDisjoint(with: indices) {
      try slices.sum(known.pending)
      sliced[identifier] = nil
    }
    let filled = try compute(slices.target(), windows.map(\.filled).max() ?? 0)
    for window in windows { window.filled = filled }
    sliced[identifier, default: (slices, [])].pending.formUnion(indices)
  }

  /// Adds up the slices that were left.
  func sumSlices() throws {
    for (slices, pending) in sliced.values { try slices.sum(pending) }
    sliced = [:]
  }

  /// Adds `gradient` to what a tensor has received so far.
  ///
  /// Nothing happens where no gradient is wanted.
  package func add(_ gradient: @autoclosure () throws -> Tensor, to key: GradientKey) throws {
    guard key.requiresGradient else { return }
    let gradient = try gradient()
    if let target = key.sum {
      try Elementwise.accumulate(gradient, into: target)
      return
    }
    let identifier = ObjectIdentifier(key)
    guard let sum = sums[identifier] else {
      sums[identifier] = gradient
      return
    }
    sums[identifier] = try Elementwise.add(sum, gradient)
  }

  /// Lets an operation fold the addition into its own kernel: `compute` receives the sum so far, which it must not
  /// change, and returns the new sum.
  package func accumulate(into key: GradientKey, _ compute: (Tensor?) throws -> Tensor) throws {
    guard key.requiresGradient else { return }
    if key.sum != nil {
      try add(compute(nil), to: key)
      return
    }
    let identifier = ObjectIdentifier(key)
    sums[identifier] = try compute(sums[identifier])
  }

  /// The same for two inputs whose gradients one kernel computes.
  ///
  /// - Parameter compute: receives which of the two are wanted and their sums so far, and returns the new sums of those.
  package func accumulate(
    into first: GradientKey, _ second: GradientKey,
    _ compute: (_ wanted: (Bool, Bool), _ sums: (Tensor?, Tensor?)) throws -> (Tensor?, Tensor?)
  ) throws {
    precondition(first !== second, "one would overwrite the other")
    let keys = [first, second]
    let wanted = keys.map(\.requiresGradient)
    guard wanted.contains(true) else { return }
    let sums = keys.map { $0.sum == nil ? self.sums[ObjectIdentifier($0)] : nil }
    let results = try compute((wanted[0], wanted[1]), (sums[0], sums[1]))
    for (key, result) in zip(keys, [results.0, results.1]) where key.requiresGradient {
      guard let result else { preconditionFailure("a wanted gradient was not computed") }
      try accumulate(into: key) { _ in result }
    }
  }

  /// Adds `gradient` to what `tensor` has received so far; for records that keep the tensor anyway.
  package func add(_ gradient: @autoclosure () throws -> Tensor, to tensor: Tensor) throws {
    try add(gradient(), to: tensor.gradientKey)
  }

  /// The same with the addition folded in.
  package func accumulate(into tensor: Tensor, _ compute: (Tensor?) throws -> Tensor) throws {
    try accumulate(into: tensor.gradientKey, compute)
  }
}
