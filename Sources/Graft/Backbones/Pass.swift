import GraftOps

/// One walk through a backbone: its tape, its modules, what training does to frozen branches, and the logic of every site.
struct Pass {
  let tape: Tape
  var sites = GraftedSites()
  var regularization = BranchRegularization.none

  /// Computes a part that is forgotten and, in the backward pass, computed again; see ``Tape/checkpoint(_:_:keeping:)``.
  ///
  /// - Parameter body: the part, in a pass of its own: it must not hold this one, whose tape holds its record.
  func checkpoint<Value>(
    _ kind: Recomputation, _ body: @escaping (Pass) throws -> Value,
    keeping output: @escaping (Value) -> Tensor
  ) throws -> Value {
    try tape.checkpoint(
      kind,
      { [sites, regularization] in try body(Pass(tape: $0, sites: sites, regularization: regularization)) },
      keeping: output)
  }

  /// Behind a norm and what stands on it.
  func normalized(_ input: Tokens, _ norm: FrozenNorm) throws -> Tokens {
    input.with(try normalized(input.values, norm))
  }

  /// Rows behind a norm and what stands on it; as they are where there is none.
  func normalized(_ rows: Tensor, _ norm: FrozenNorm?) throws -> Tensor {
    guard let norm else { return rows }
    return try sites.adjust(norm(rows, on: tape), of: norm.id, reading: .rows(rows), on: tape)
  }

  /// What a part reads: the stream behind the norm and what stands before the part.
  ///
  /// - Parameter known: the stream behind the norm, where a module beside the part reads it too.
  func enter(_ part: FrozenPart, _ stream: Tokens, known: Reading?) throws -> LinearInput {
    let before = Site.before(part.id)
    if let known {
      guard sites.isTaken(before) else { return known.rows }
      return .rows(try sites.apply(at: before, to: known.tokens(), on: tape).values)
    }
    if let read = try sites.apply(at: before, to: stream, behind: part.norm, on: tape) {
      return .rows(read.values)
    }
    // A norm alone keeps its input and no more.
    guard sites.isTaken(before) || sites.isTaken(.on(part.norm.id)) else {
      return try part.norm.normed(stream.values, on: tape)
    }
    let read = try checkpoint(
      .norms,
      { try $0.sites.apply(at: before, to: $0.normalized(stream, part.norm), on: $0.tape) }, keeping: \.values
    )
    return .rows(read.values)
  }

  /// What stands beside a part reads: the stream behind the norm, as the part does.
  func reading(_ stream: Tokens, behind norm: FrozenNorm) throws -> Reading {
    guard sites.isTaken(.on(norm.id)) else {
      return Reading(try norm.normed(stream.values, on: tape), stream.layout)
    }
    return Reading(try normalized(stream, norm))
  }

  /// A frozen layer and what stands on it, then an activation.
  ///
  /// What stands on a layer sees what that gives by itself; layer scale follows.
  ///
  /// - Parameter reader: the frozen layer that alone reads the result, if there is one.
  func apply(
    _ layer: FrozenLayer, to input: LinearInput, _ activation: Activation = .none,
    readBy reader: PreparedLinear? = nil
  ) throws -> Tensor {
    guard sites.isTaken(.on(layer.id)) else {
      return try tape.linear(input, layer.linear, activation: activation, readBy: reader)
    }
    var output = try sites.adjust(tape.linear(input, layer.bare), of: layer.id, reading: input, on: tape)
    if let scale = layer.linear.scale { output = try tape.scaleShift(output, scale: scale) }
    return try tape.activation(output, activation)
  }

  /// A part's last layer, what stands on and behind it, added to the stream with what stands beside and around the part: in
  /// the product's last step if nothing is between.
  ///
  /// - Parameters:
  ///   - hidden: what the last layer reads.
  ///   - known: the stream behind the norm, where a module beside the part reads it.
  func leave(_ part: FrozenPart, _ hidden: Tensor, known: Reading?, stream: Tokens) throws -> Tokens {
    let dropPath = regularization.dropPath * part.depthFraction
    let drops = tape.isTraining && (regularization.dropout > 0 || dropPath > 0)
    var sum: Tensor
    if drops || sites.isTaken(.on(part.last.id)) || sites.isTaken(.after(part.id)) {
      var branch = try apply(part.last, to: .rows(hidden))
      branch = try tape.dropout(branch, probability: regularization.dropout)
      branch = try sites.apply(at: .after(part.id), to: stream.with(branch), on: tape).values
      branch = try tape.dropPath(branch, probability: dropPath)
      sum = try tape.add(stream.values, branch)
    } else {
      sum = try tape.linear(hidden, part.last.linear, residual: stream.values)
    }
    if let known { sum = try sites.add(at: .beside(part.id), reading: known, to: sum, on: tape) }
    return stream.with(try sites.add(at: .around(part.id), reading: Reading(stream), to: sum, on: tape))
  }
}
