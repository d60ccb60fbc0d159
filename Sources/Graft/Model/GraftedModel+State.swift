import GraftOps

extension GraftedModel {
  /// Every tensor that the adapter's file holds: parameters and running statistics.
  var stateTensors: [(name: String, tensor: Tensor)] {
    arena.parameters.map { ($0.name, $0.value) }
      + statistics.flatMap { name, running in
        [("\(name).running_mean", running.mean), ("\(name).running_var", running.variance)]
      }
  }

  /// Every value that the adapter's file holds.
  ///
  /// - Throws: ``GraftError/notFinite(tensor:step:)``: a damaged model is never saved.
  func state(named: (String) -> String = { $0 }) throws -> [Safetensors.TensorData] {
    try requireWhole()
    return try stateTensors.map { name, tensor in
      .init(name: named(name), shape: tensor.shape, values: try finiteFloats(name, tensor))
    }
  }

  /// The values of a tensor.
  ///
  /// - Throws: ``GraftError/notFinite(tensor:step:)``.
  func finiteFloats(_ name: String, _ tensor: Tensor) throws -> [Float] {
    let values = try tensor.floats()
    guard values.allSatisfy(\.isFinite) else { throw GraftError.notFinite(tensor: name) }
    return values
  }

  /// Takes over values from a file, which may call them otherwise.
  func restore(from file: SafetensorsFile, named: (String) -> String = { $0 }) throws {
    for (name, tensor) in stateTensors {
      try tensor.assign(file.floats(named(name), requireFinite: true))
    }
  }

  /// Name and shape of every tensor of ``stateTensors``.
  var stateShapes: [String: [Int]] {
    Dictionary(uniqueKeysWithValues: stateTensors.map { ($0.name, $0.tensor.shape) })
  }

  /// Refuses a model that a failed run has left in the middle of something.
  func requireWhole() throws {
    if let damage { throw GraftError.modelDamaged(reason: damage) }
  }
}
