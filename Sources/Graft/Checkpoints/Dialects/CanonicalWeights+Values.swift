import GraftSystem

extension CanonicalWeights: WeightSource {
  /// A tensor's values, all finite; a part that the file lacks, such as the keys' bias, is zero.
  ///
  /// - Parameter name: The canonical name; a classifier's too.
  /// - Throws: ``CheckpointError``: no such tensor, a type that is no floating point, a value that is not finite, a mask of
  ///   other values than 0 and 1.
  func floats(_ name: String) throws(CheckpointError) -> [Float] {
    guard let assembly = assemblies[name], let count = assembly.shape.flatMap(Safetensors.elementCount) else {
      throw .tensorMismatch(
        path: file.path, missing: [nameInFile(name).first ?? name], unexpected: [], misshapen: [])
    }
    if assembly.parts == 1, let whole = assembly.pieces[0] { return try values(of: whole) }
    var values = [Float](repeating: 0, count: count)
    for (part, piece) in assembly.pieces {
      let rows = try self.values(of: piece)
      values.replaceSubrange(part * rows.count..<(part + 1) * rows.count, with: rows)
    }
    return values
  }

  /// The values that a description asks for.
  func floats(_ tensor: TensorSpec) throws -> [Float] {
    if let shape = index[tensor.name], shape != tensor.shape {
      throw CheckpointError.tensorMismatch(
        path: file.path, missing: [], unexpected: [],
        misshapen: [
          .init(name: nameInFile(tensor.name).first ?? tensor.name, expected: tensor.shape, actual: shape)
        ])
    }
    return try floats(tensor.name)
  }

  private func values(of piece: Assembly.Piece) throws(CheckpointError) -> [Float] {
    let source: any TensorFile = piece.block.map { BlockOfStack(file: file, block: $0) } ?? file
    var values = try source.floats(piece.source, requireFinite: piece.companion == nil)
    var shape = try source.info(piece.source).shape
    if let taken = piece.form.taken {
      let part = values.count / taken.parts
      values = Array(values[taken.first * part..<(taken.first + taken.count) * part])
      shape[0] = shape[0] / taken.parts * taken.count
    }
    if let order = piece.form.order(of: shape) { values = order.map { values[$0] } }
    switch (piece.form.fold, piece.companion) {
    case (.withoutFirstRow, _): values.removeFirst(shape[2])
    case (.plusFirstRow, let positions?):
      let row = try file.floats(positions)
      for k in values.indices { values[k] += row[k] }
    case (.masked, let mask?):
      let mask = try mask01(mask)
      for k in values.indices where !mask[k] { values[k] = 0 }
    default: break
    }
    if piece.companion != nil, let index = values.firstIndex(where: { !$0.isFinite }) {
      throw .nonFinite(path: file.path, tensor: piece.source, index: index)
    }
    return values
  }

  /// A mask's values; those of one that was never set are no numbers, and nothing must be multiplied by them.
  func mask01(_ name: String) throws(CheckpointError) -> [Bool] {
    let values = try file.floats(name)
    guard values.allSatisfy({ $0 == 0 || $0 == 1 }) else {
      throw .malformedFile(
        path: file.path, detail: "\(printable(name)) is a mask and holds other values than 0 and 1")
    }
    return values.map { $0 == 1 }
  }
}
