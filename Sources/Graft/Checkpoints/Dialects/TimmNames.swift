/// Under whose names a model's weights are written.
public enum WeightNames: String, Sendable, Hashable, CaseIterable {
  /// Those that they were read in.
  case original
  /// timm's for the same model.
  case timm
}

extension Dialect {
  /// Whether the names are those of transformers.
  var isTransformers: Bool { name.hasPrefix("huggingface-") }
}

extension CanonicalWeights {
  /// What timm calls the canonical tensors: the same, but for what its EVA and BEiT keep apart.
  private var timmRules: [Rule] {
    guard dialect.isEVAInTimm else { return .timmBase }
    let hasHiddenNorm = index["blocks.0.mlp.norm.weight"] != nil
    let hidden = index["blocks.0.mlp.fc2.weight"]?.last ?? 0
    let isGated = index["blocks.0.mlp.fc1.weight"]?.first == 2 * hidden
    // DINOv3 has no table of positions.
    let keepsGate = isGated && (hasHiddenNorm || index["pos_embed"] == nil)
    return [Rule].timmBase.without(
      "blocks.{i}.ls1.gamma", "blocks.{i}.ls2.gamma", "blocks.{i}.attn.qkv.{p}", "blocks.{i}.mlp.fc1.{p}")
      + .layerScale
      + (hasHiddenNorm ? .evaProjections : .same("blocks.{i}.attn.qkv.weight") + .evaBiases)
      + (keepsGate ? .evaGate : .block("blocks.{i}.", ["mlp.fc1": "mlp.fc1"]))
  }

  /// All tensors under timm's names, some of them changed; those that need no more than a name keep their bits and type.
  ///
  /// - Parameters:
  ///   - changed: Values by canonical name, as many as there are.
  ///   - head: A classifier in the place of the file's; without one those stay.
  /// - Throws: ``CheckpointError/noPlace(path:tensor:reason:)`` for a change that timm's model cannot hold, and what
  ///   reading throws.
  func timm(_ changed: [String: [Float]] = [:], head: [Safetensors.TensorData] = []) throws(CheckpointError)
    -> [Safetensors.TensorData]
  {
    for (name, values) in changed where assemblies[name] == nil && values.contains(where: { $0 != 0 }) {
      throw noPlace(name, "has no tensor for it")
    }
    let rules = timmRules
    var tensors = head
    for (name, assembly) in assemblies.sorted(by: { Safetensors.precedes($0.key, $1.key) })
    where head.isEmpty || !name.hasPrefix("head") {
      let isBias = dialect.isEVAInTimm && name.hasSuffix("attn.qkv.bias")
      if isBias { try requireKeysWithoutBias(name, changed[name]) }
      for rule in rules where !(isBias && rule.form.place?.first == 1) {
        guard let own = rule.target.match(name).flatMap(rule.source.name) else { continue }
        if let tensor = try timm(own, rule.form.place, of: assembly, changed[name]) { tensors.append(tensor) }
      }
    }
    return tensors
  }

  /// One of timm's tensors: all of a canonical one, or some of its rows.
  private func timm(_ own: String, _ rows: Form.Rows?, of assembly: Assembly, _ changed: [Float]?)
    throws(CheckpointError) -> Safetensors.TensorData?
  {
    if let piece = assembly.pieces[rows?.first ?? 0], changed == nil, piece.form.isRename,
      piece.form.place == rows
    {
      return try .init(copying: piece.source, from: file, as: own)
    }
    guard var shape = assembly.shape else { return nil }
    var values = if let changed { changed } else { try floats(assembly.name) }
    if let rows {
      let size = values.count / rows.parts
      values = Array(values[rows.first * size..<(rows.first + rows.count) * size])
      shape[0] = shape[0] / rows.parts * rows.count
    }
    return .init(name: own, shape: shape, values: values)
  }

  private func requireKeysWithoutBias(_ name: String, _ changed: [Float]?) throws(CheckpointError) {
    let values = if let changed { changed } else { try floats(name) }
    let size = values.count / 3
    guard values[size..<2 * size].allSatisfy({ $0 == 0 }) else {
      throw noPlace(name, "keeps no bias for the keys, which is not zero", in: "timm's EVA")
    }
  }
}

extension Form {
  /// Whether a tensor or its rows have another name and nothing else.
  var isRename: Bool { axes == nil && taken == nil && fold == nil && blocks != .stacked }
}
