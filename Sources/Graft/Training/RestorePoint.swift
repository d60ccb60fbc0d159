import GraftOps

/// Everything that training changes, as it stood at one moment, on the host: what a checkpoint is written from, and
/// where a run that fails puts the model back to.
struct RestorePoint {
  struct Entry {
    let name: String
    let tensor: Tensor
    let values: [Float]
  }

  let step: Int
  private let model: [Entry]
  private let optimizer: [Entry]
  private let optimizerSteps: Int
  private let calibration: ExitCalibration?

  /// Reads everything off the device.
  ///
  /// - Parameter step: how many steps of the run are done.
  /// - Throws: ``GraftError/notFinite(tensor:step:)``: there is no going back to a damaged model.
  init(_ model: GraftedModel, _ optimizer: any Optimizer, step: Int) throws {
    func entry(_ name: String, _ tensor: Tensor, _ called: (Int) -> String) throws -> Entry {
      let values = try tensor.floats()
      if let index = values.firstIndex(where: { !$0.isFinite }) {
        throw GraftError.notFinite(tensor: called(index), step: step)
      }
      return Entry(name: name, tensor: tensor, values: values)
    }
    self.step = step
    self.model = try model.stateTensors.map { name, tensor in try entry(name, tensor) { _ in name } }
    self.optimizer = try optimizer.state.map { name, tensor in
      try entry("optimizer.\(name)", tensor) { index in
        "\(name) of \(model.arena.parameter(at: index)?.name ?? "the optimizer")"
      }
    }
    optimizerSteps = optimizer.stepCount
    calibration = model.calibration
  }

  /// Puts model and optimiser back to the same bits.
  func restore(_ model: GraftedModel, _ optimizer: any Optimizer) throws {
    for entry in self.model + self.optimizer { try entry.tensor.assign(entry.values) }
    try model.arena.clearGradients()
    optimizer.stepCount = optimizerSteps
    model.calibration = calibration
  }

  /// What a checkpoint holds.
  var tensors: [Safetensors.TensorData] {
    (model + optimizer).map { .init(name: $0.name, shape: $0.tensor.shape, values: $0.values) }
  }

  /// What a checkpoint says beside its tensors.
  var metadata: [String: String] { ["optimizer_steps": "\(optimizerSteps)"] }
}
