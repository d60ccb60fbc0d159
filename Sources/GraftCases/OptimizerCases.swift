import GraftOps
import GraftRuntime

/// Cases of what moves the trained parameters, each in one stretch of memory: AdamW, SGD and clipping.
package enum OptimizerCases {
  /// Less than a vector, whole vectors, several groups.
  package static let checks = [1, 64, 5003].flatMap(all)
  /// What ALoRE trains on ViT-B/16.
  package static let benchmarks = all(148_992)

  private static let rate: Float = 0.01
  private static let decay: Float = 0.1

  private static func all(_ count: Int) -> [OperationCase] { [adamW(count), sgd(count), clip(count)] }

  private static func adamW(_ count: Int) -> OperationCase {
    make("adamw", count, reads: 4, writes: 3) { arena in
      let optimizer = try AdamW(arena, .init(weightDecay: decay))
      return { try optimizer.step(learningRate: rate) }
    } reference: { value, gradient in
      // In the first step the corrected moments are the gradient and its square.
      value * (1 - Double(rate) * Double(decay)) - Double(rate) * gradient / (abs(gradient) + 1e-8)
    }
  }

  private static func sgd(_ count: Int) -> OperationCase {
    make("sgd nesterov", count, reads: 3, writes: 2) { arena in
      let optimizer = try SGD(arena, .init(momentum: 0.9, isNesterov: true, weightDecay: decay))
      return { try optimizer.step(learningRate: rate) }
    } reference: { value, gradient in
      value - Double(rate) * 1.9 * (gradient + Double(decay) * value)
    }
  }

  private static func clip(_ count: Int) -> OperationCase {
    OperationCase(
      "optimizer", "clip \(count)", inputs: [.init([count]), .init([count])], terms: count,
      cost: .init(bytes: Double(12 * count)),
      prepared: { context in
        try onArena(count, context, { arena in { _ = try GradientClipping.clip(arena, to: 0.5) } }) {
          $0.parameters[0].gradient
        }
      },
      reference: { inputs in
        let norm = inputs[1].reduce(0) { $0 + $1 * $1 }.squareRoot()
        return .init(inputs[1].map { $0 * min(1, 0.5 / (norm + 1e-6)) })
      })
  }

  private static func make(
    _ name: String, _ count: Int, reads: Int, writes: Int,
    _ step: @escaping @Sendable (ParameterArena) throws -> () throws -> Void,
    reference: @escaping @Sendable (_ value: Double, _ gradient: Double) -> Double
  ) -> OperationCase {
    OperationCase(
      "optimizer", "\(name) \(count)", inputs: [.init([count]), .init([count])], terms: 4,
      cost: .init(bytes: Double(4 * (reads + writes) * count)),
      prepared: { context in try onArena(count, context, step) { $0.parameters[0].value } },
      reference: { .init(zip($0[0], $0[1]).map(reference)) })
  }

  /// The first call fills an arena with values and gradients; every call makes a step.
  private static func onArena(
    _ count: Int, _ context: Context, _ step: (ParameterArena) throws -> () throws -> Void,
    _ result: @escaping (ParameterArena) -> Tensor
  ) throws -> (Tape, [Tensor]) throws -> Tensor {
    let arena = try ParameterArena(
      [("parameter", [count], [Float](repeating: 0, count: count))], on: context)
    let step = try step(arena)
    var isFilled = false
    return { _, inputs in
      if !isFilled {
        for (input, target) in zip(inputs, [arena.values, arena.gradients]) {
          try context.copy(input.buffer, to: target.buffer, byteCount: 4 * count)
        }
        isFilled = true
      }
      try step()
      return result(arena)
    }
  }
}
