import GraftOps

/// A bottleneck beside a branch: `sum + Dropout(GELU(u Wd + bd) Wu + bu)`.
///
/// As in ILA++ (arXiv 2409.11051, official code, class Adapter): reads the branch's normalised input; Xavier weights, the
/// up-projection is not zero.
struct BottleneckModule: ParallelModule {
  private let down, up: TrainableLinear
  private let dropout: Float

  init(_ name: String, dropout: Float, _ tensors: TensorLookup) {
    down = tensors.linear("\(name).down")
    up = tensors.linear("\(name).up")
    self.dropout = dropout
  }

  static func declare(_ name: String, width: Int, bottleneck: Int, in plan: inout AdapterPlan) {
    let tiny = Initializer.normal(mean: 0, deviation: 1e-6)
    let xavier = Initializer.xavier(fanIn: width, fanOut: bottleneck)
    plan.declareLinear("\(name).down", outputs: bottleneck, inputs: width, weight: xavier, bias: tiny)
    plan.declareLinear("\(name).up", outputs: width, inputs: bottleneck, weight: xavier, bias: tiny)
  }

  func callAsFunction(_ input: Tokens, addedTo sum: Tensor, on tape: Tape) throws -> Tensor {
    let hidden = try tape.activation(down(input.values, on: tape), .gelu)
    return try tape.add(sum, tape.dropout(up(hidden, on: tape), probability: dropout))
  }
}
