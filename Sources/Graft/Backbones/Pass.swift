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
    return try sites.adjust(norm(rows, on: tape), of: norm.id, reading: rows, on: tape)
  }

  /// What a part reads: the stream behind the norm and what stands before the part.
  ///
  /// - Parameter known: the stream behind the norm, where a module beside the part reads it too.
  func enter(_ part: FrozenPart, _ stream: Tokens, known: Tokens?) throws -> Tokens {
    if known == nil, let read = try sites.apply(at: .before(part.id), to: stream, behind: part.norm, on: tape)
    {
      return read
    }
    func read(_ pass: Pass) throws -> Tokens {
      try pass.sites.apply(
        at: .before(part.id), to: known ?? pass.normalized(stream, part.norm), on: pass.tape)
    }
    // A norm alone keeps its input and no more.
    guard known == nil, sites.isTaken(.before(part.id)) || sites.isTaken(.on(part.norm.id)) else {
      return try read(self)
    }
    return try checkpoint(.norms, read, keeping: \.values)
  }

  /// A frozen layer and what stands on it, then an activation.
  ///
  /// What stands on a layer sees what that gives by itself; layer scale follows.
  ///
  /// - Parameter reader: the frozen layer that alone reads the result, if there is one.
  func apply(
    _ layer: FrozenLayer, to input: Tensor, _ activation: Activation = .none,
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
  func leave(_ part: FrozenPart, _ hidden: Tensor, known: Tokens?, stream: Tokens) throws -> Tokens {
    let dropPath = regularization.dropPath * part.depthFraction
    let drops = tape.isTraining && (regularization.dropout > 0 || dropPath > 0)
    var sum: Tensor
    if drops || sites.isTaken(.on(part.last.id)) || sites.isTaken(.after(part.id)) {
      var branch = try apply(part.last, to: hidden)
      branch = try tape.dropout(branch, probability: regularization.dropout)
      branch = try sites.apply(at: .after(part.id), to: stream.with(branch), on: tape).values
      branch = try tape.dropPath(branch, probability: dropPath)
      sum = try tape.add(stream.values, branch)
    } else {
      sum = try tape.linear(hidden, part.last.linear, residual: stream.values)
    }
    if let known { sum = try sites.add(at: .beside(part.id), reading: known, to: sum, on: tape) }
    return stream.with(try sites.add(at: .around(part.id), reading: stream, to: sum, on: tape))
  }
}
