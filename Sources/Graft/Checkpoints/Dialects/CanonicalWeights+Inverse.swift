import GraftSystem

extension CanonicalWeights {
  /// The file's tensors, some of them changed: those that did not change are copied bit for bit, the others split, turned
  /// round and named as they were, in F32.
  ///
  /// A class token whose position lies apart loses one rounding. Where `head.weight` and `head.bias` are among the changed
  /// ones they take the place of the file's classifiers, whatever the number of classes. The tensors of a dialect whose
  /// container is not written come under timm's names.
  ///
  /// With a classifier, what transformers writes for a backbone alone becomes what it writes for its class with a
  /// classifier, where it has one that computes the same (ViT, DeiT, BEiT): the backbone's names get the model's before
  /// them, and the projection of the pooled token, which that class lacks, is left out.
  ///
  /// - Parameters:
  ///   - changed: Values by canonical name, as many as there are.
  ///   - names: Under which names.
  /// - Throws: ``CheckpointError/noPlace(path:tensor:reason:)`` for a change that the file cannot hold, and what reading
  ///   throws.
  func inverse(_ changed: [String: [Float]], names: WeightNames = .original) throws(CheckpointError)
    -> [Safetensors.TensorData]
  {
    let isTimm = names == .timm || dialect.isWrittenCanonically
    let head = newHead(changed) { isTimm ? $0 : nameOfHead($0) }
    let body = changed.filter { !$0.key.hasPrefix("head") }
    if isTimm { return try timm(body, head: head) }
    let replaced = try sources(changedBy: body)
    let old = Set(
      head.isEmpty
        ? [] : assemblies.filter { $0.key.hasPrefix("head") }.flatMap { $0.value.pieces.values.map(\.source) }
    )
    let model = head.isEmpty ? nil : missingPrefix
    var tensors = head
    for name in file.names where !old.contains(name) {
      if model != nil, Self.pooler.matches(name) { continue }
      let own = (model ?? "") + name
      if let values = replaced[name], let shape = file.tensors[name]?.shape {
        tensors.append(.init(name: own, shape: shape, values: values))
      } else {
        tensors.append(try .init(copying: name, from: file, as: own))
      }
    }
    return tensors
  }

  private static let pooler: NamePattern = "pooler.dense.{p}"

  /// What stands before a backbone's names beside a classifier, where this file has a backbone alone and nothing before it.
  var missingPrefix: String? {
    guard prefix.isEmpty, let model = dialect.modelPrefix else { return nil }
    return assemblies["dist_token"] == nil ? model : "deit."
  }

  /// A new classifier's name: of DeiT's with two the plain model's, which reads the class token alone.
  func nameOfHead(_ canonical: String) -> String {
    let name = dialect.names(of: canonical).first?.name ?? canonical
    return (dialect.hasHeadBeside ? wrapper : prefix) + name
  }

  /// A classifier in the place of the file's.
  private func newHead(_ changed: [String: [Float]], name: (String) -> String) -> [Safetensors.TensorData] {
    guard let weight = changed["head.weight"] else { return [] }
    let bias = changed["head.bias"]
    let rows = bias?.count ?? assemblies["head.weight"]?.shape?.first ?? 1
    let tensor = Safetensors.TensorData(
      name: name("head.weight"), shape: [rows, rows > 0 ? weight.count / rows : 0], values: weight)
    return [tensor] + (bias.map { [.init(name: name("head.bias"), shape: [rows], values: $0)] } ?? [])
  }

  /// The new values of the file's tensors that changes reach.
  private func sources(changedBy changed: [String: [Float]]) throws(CheckpointError) -> [String: [Float]] {
    var sources: [String: [Float]] = [:]
    for (name, values) in changed {
      guard let assembly = assemblies[name] else {
        guard values.allSatisfy({ $0 == 0 }) else { throw noPlace(name, "has no tensor for it") }
        continue
      }
      precondition(
        values.count == assembly.shape.flatMap(Safetensors.elementCount), "\(name): \(values.count) values")
      let size = values.count / assembly.parts
      for part in 0..<assembly.parts {
        let rows = values[part * size..<(part + 1) * size]
        if let piece = assembly.pieces[part] {
          if piece.form.blocks == .shared, !isEverywhere(name, values, changed) {
            throw noPlace(name, "keeps one for all blocks, which would now differ")
          }
          try put(rows, piece, of: name, into: &sources)
        } else if rows.contains(where: { $0 != 0 }) {
          throw noPlace(name, "keeps no bias for the keys, which would no longer be zero")
        }
      }
    }
    return sources
  }

  /// Whether a change of one block is that of all.
  private func isEverywhere(_ name: String, _ values: [Float], _ changed: [String: [Float]]) -> Bool {
    guard let rule = dialect.rules.first(where: { $0.form.blocks == .shared && $0.target.matches(name) })
    else {
      return false
    }
    return index.names.filter(rule.target.matches).allSatisfy { changed[$0] == values }
  }

  private func put(
    _ values: ArraySlice<Float>, _ piece: Assembly.Piece, of name: String,
    into sources: inout [String: [Float]]
  ) throws(CheckpointError) {
    var source =
      if let begun = sources.removeValue(forKey: piece.source) { begun } else {
        try file.floats(piece.source)
      }
    var shape = try file.info(piece.source).shape
    var start = 0
    if let block = piece.block {
      start = source.count / shape[0] * block
      shape.removeFirst()
    }
    if let taken = piece.form.taken {
      shape[0] /= taken.parts
      start += taken.first * shape.reduce(1, *)
      shape[0] *= taken.count
    }
    switch (piece.form.fold, piece.companion) {
    case (.plusFirstRow, let positions?):
      let row = try file.floats(positions)
      for (k, value) in values.enumerated() { source[k] = value - row[k] }
    case (.masked, let mask?):
      let mask = try mask01(mask)
      for (k, value) in values.enumerated() {
        if mask[k] {
          source[k] = value
        } else if value != 0 {
          throw noPlace(name, "masks it where it would no longer be zero")
        }
      }
    default:
      if piece.form.fold == .withoutFirstRow { start += shape[2] }
      if let order = piece.form.order(of: shape) {
        for (value, place) in zip(values, order) { source[start + place] = value }
      } else {
        source.replaceSubrange(start..<start + values.count, with: values)
      }
    }
    sources[piece.source] = source
  }

  func noPlace(_ name: String, _ reason: String, in names: String? = nil) -> CheckpointError {
    .noPlace(path: file.path, tensor: name, reason: "a file of \(names ?? dialect.name) \(reason)")
  }
}
