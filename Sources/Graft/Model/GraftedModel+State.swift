import GraftOps

extension GraftedModel {
  /// Every value that the adapter's file holds: parameters and running statistics.
  ///
  /// - Throws: ``GraftError/notFinite(tensor:)``: a damaged model is never saved.
  func state(named: (String) -> String = { $0 }) throws -> [Safetensors.TensorData] {
    func data(_ name: String, _ tensor: Tensor) throws -> Safetensors.TensorData {
      .init(name: named(name), shape: tensor.shape, values: try finiteFloats(name, tensor))
    }
    var tensors = try arena.parameters.map { try data($0.name, $0.value) }
    for (name, running) in statistics {
      tensors.append(try data("\(name).running_mean", running.mean))
      tensors.append(try data("\(name).running_var", running.variance))
    }
    return tensors
  }

  /// The values of a tensor.
  ///
  /// - Throws: ``GraftError/notFinite(tensor:)``.
  func finiteFloats(_ name: String, _ tensor: Tensor) throws -> [Float] {
    let values = try tensor.floats()
    guard values.allSatisfy(\.isFinite) else { throw GraftError.notFinite(tensor: name) }
    return values
  }

  /// Takes over values from a file, which may call them otherwise.
  func restore(from file: SafetensorsFile, named: (String) -> String = { $0 }) throws {
    for parameter in arena.parameters {
      try parameter.value.assign(file.floats(named(parameter.name), requireFinite: true))
    }
    for (name, running) in statistics {
      try running.mean.assign(file.floats(named("\(name).running_mean"), requireFinite: true))
      try running.variance.assign(file.floats(named("\(name).running_var"), requireFinite: true))
    }
  }

  /// Name and shape of every tensor of ``state()``.
  var stateShapes: [String: [Int]] {
    var shapes = Dictionary(uniqueKeysWithValues: arena.parameters.map { ($0.name, $0.value.shape) })
    for (name, running) in statistics {
      shapes["\(name).running_mean"] = running.mean.shape
      shapes["\(name).running_var"] = running.variance.shape
    }
    return shapes
  }
}
