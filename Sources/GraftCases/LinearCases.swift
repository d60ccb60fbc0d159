import GraftOps
import GraftRuntime
import GraftSystem

/// Cases of linear layers, frozen and trainable.
package enum LinearCases {
  /// Small shapes: ones, primes, register and local tiles ±1, every variant, every folded operation.
  package static let checks: [OperationCase] = frozenChecks + trainableChecks

  /// The projections of ViT-S, B and L at batch 8, and what adapters add to ViT-B.
  package static let benchmarks: [OperationCase] =
    [384, 768, 1024].flatMap { width in
      [
        Frozen(rows: 1576, outputs: 3 * width, inputs: width),
        Frozen(rows: 1576, outputs: width, inputs: width, hasResidual: true),
        Frozen(rows: 1576, outputs: 4 * width, inputs: width, activation: .gelu),
        Frozen(rows: 1576, outputs: width, inputs: 4 * width, hasResidual: true),
      ].map(make)
    }
    + [StoragePrecision.bf16, .fp16].map {
      make(Frozen(rows: 1576, outputs: 3072, inputs: 768, activation: .gelu, precision: $0))
    }
    + [make(Frozen(rows: 1576, outputs: 768, inputs: 768, hasScale: true, hasResidual: true))]
    + [
      Trainable(rows: 1576, outputs: 8, inputs: 768), Trainable(rows: 1576, outputs: 768, inputs: 8),
      Trainable(rows: 1568, outputs: 8, inputs: 8), Trainable(rows: 32, outputs: 1000, inputs: 768),
    ].map(make)

  /// What is checked besides where a processor's bf16 dot product can be reached.
  ///
  /// Activations and residuals stand behind the sum and are rounded to nothing: their gradients are other variants'
  /// business, whose upstream would not be a number that bf16 holds.
  package static let dotProductChecks: [OperationCase] =
    shapes.map { m, n, k in
      make(Frozen(rows: m, outputs: n, inputs: k, precision: .bf16, variant: .cpuDotProduct))
    }
    + [
      make(
        Frozen(rows: 13, outputs: 35, inputs: 9, hasScale: true, precision: .bf16, variant: .cpuDotProduct)),
      make(
        Frozen(
          rows: 14, outputs: 37, inputs: 6, activation: .gelu, hasResidual: true, precision: .bf16,
          variant: .cpuDotProduct, isDifferentiable: false)),
    ]

  private static let variants = MatmulVariant.allCases.filter { $0.isAvailable && !$0.multipliesBFloats }

  /// Rows, outputs, inputs.
  private static let shapes = [
    (1, 1, 1), (1, 5, 3), (2, 32, 16), (11, 31, 7), (12, 32, 64), (13, 33, 65), (5, 64, 17), (25, 15, 8),
    (37, 97, 29), (3, 130, 2), (13, 33, 523), (65, 63, 15),
  ]

  private static let frozenChecks: [OperationCase] = {
    var cases: [Frozen] = []
    for variant in variants {
      // CLBlast builds a program for each kind of shape, which takes seconds.
      for (m, n, k) in variant == .clblast ? [shapes[0], shapes[5], shapes[8]] : shapes {
        cases.append(Frozen(rows: m, outputs: n, inputs: k, variant: variant))
      }
      cases.append(Frozen(rows: 7, outputs: 19, inputs: 5, hasBias: false, variant: variant))
      for activation in ActivationCases.kinds {
        cases.append(Frozen(rows: 14, outputs: 37, inputs: 6, activation: activation, variant: variant))
        cases.append(
          Frozen(rows: 9, outputs: 48, inputs: 5, activation: activation, hasResidual: true, variant: variant)
        )
      }
      cases.append(
        Frozen(rows: 13, outputs: 35, inputs: 9, hasBias: false, hasResidual: true, variant: variant))
      for hasBias in [true, false] {
        cases += [
          Frozen(rows: 13, outputs: 67, inputs: 9, hasBias: hasBias, hasScale: true, variant: variant),
          Frozen(
            rows: 7, outputs: 37, inputs: 5, hasBias: hasBias, hasScale: true, activation: .gelu,
            hasResidual: true, variant: variant),
        ]
      }
      for precision in [StoragePrecision.bf16, .fp16] where variant != .clblast {
        cases.append(
          Frozen(rows: 13, outputs: 35, inputs: 9, hasScale: true, precision: precision, variant: variant))
      }
      for precision in [StoragePrecision.bf16, .fp16] where variant != .clblast {
        for (m, n, k) in [shapes[0], shapes[5], shapes[8]] {
          cases.append(Frozen(rows: m, outputs: n, inputs: k, precision: precision, variant: variant))
        }
      }
    }
    return cases.map(make)
  }()

  private static let trainableChecks: [OperationCase] = {
    var cases: [Trainable] = []
    for variant in [MatmulVariant.cpuRegisterTiled, .localMemoryTiled] {
      for rank in [1, 4, 8, 16] {
        cases.append(Trainable(rows: 19, outputs: rank, inputs: 70, variant: variant))
        cases.append(Trainable(rows: 19, outputs: 70, inputs: rank, variant: variant))
      }
      cases += [
        Trainable(rows: 1, outputs: 1, inputs: 1, variant: variant),
        Trainable(rows: 5, outputs: 101, inputs: 33, variant: variant),
        Trainable(rows: 330, outputs: 8, inputs: 8, variant: variant),
        Trainable(rows: 201, outputs: 3, inputs: 65, hasBias: false, variant: variant),
      ]
    }
    return cases.map(make)
  }()

  private struct Frozen {
    var rows: Int
    var outputs: Int
    var inputs: Int
    var hasBias = true
    var hasScale = false
    var activation = Activation.none
    var hasResidual = false
    var precision = StoragePrecision.fp32
    var variant: MatmulVariant?
    var isDifferentiable = true

    var description: String {
      "frozen \(rows)x\(outputs)x\(inputs)" + (hasBias ? " bias" : "") + (hasScale ? " scale" : "")
        + (activation == .none ? "" : " \(activation)") + (hasResidual ? " residual" : "")
        + (precision == .fp32 ? "" : " \(precision)") + (variant.map { " \($0)" } ?? "")
    }
  }

  private static func make(_ shape: Frozen) -> OperationCase {
    var generator = CaseGenerator(seed: 11)
    let scale = 1.5 / Float(shape.inputs).squareRoot()
    // Weights that the storage holds exactly, so that the product alone is judged; every other one is too small for a
    // normal number of half precision.
    let weight = (0..<shape.outputs * shape.inputs).map { index in
      let value = Float.random(in: -scale...scale, using: &generator)
      switch shape.precision {
      case .fp32: return value
      case .bf16: return Float(bitPattern: value.bitPattern & 0xffff_0000)
      case .fp16: return (value * 512).rounded() / (index % 2 == 0 ? 512 : 16_777_216)
      }
    }
    // Under a ReLU the bias decides the sign alone: central differences must not cross the kink.
    let offset = shape.activation == .relu ? scale * Float(shape.inputs) + 0.1 : 0
    let bias = (0..<shape.outputs).map { output in
      Float.random(in: 0...1, using: &generator) + (output % 2 == 0 ? offset : -offset - 1)
    }
    // Powers of two, which no storage rounds, of either sign and with a zero.
    let factors: [Float]? =
      shape.hasScale ? (0..<shape.outputs).map { [0.5, -2, 1, 0, 0.25, 4][$0 % 6] } : nil
    let (m, n, k) = (shape.rows, shape.outputs, shape.inputs)
    var inputs = [OperationCase.Input([1, m, k], differentiable: shape.isDifferentiable)]
    if shape.hasResidual { inputs.append(.init([1, m, n], differentiable: shape.isDifferentiable)) }
    var result = OperationCase(
      "matmul", shape.description, inputs: inputs, terms: max(k, n),
      cost: .init(
        macs: Double(m * n * k),
        bytes: Double(
          4 * (m * k + m * n * (shape.hasResidual ? 2 : 1)) + n * k * (shape.precision == .fp32 ? 4 : 2))),
      prepared: { context in
        let layer = try PreparedLinear(
          weight: weight, bias: shape.hasBias ? bias : nil, scale: factors, outputs: n, inputs: k,
          on: context,
          precision: shape.precision, variant: shape.variant)
        return { tape, inputs in
          try tape.linear(
            inputs[0], layer, activation: shape.activation, residual: shape.hasResidual ? inputs[1] : nil)
        }
      },
      reference: { inputs in
        var (values, magnitudes) = product(
          inputs[0], weight.map(Double.init), bias: nil, rows: m, outputs: n, inputs: k)
        for index in values.indices {
          let factor = Double(factors?[index % n] ?? 1)
          let offset = shape.hasBias ? Double(bias[index % n]) : 0
          values[index] = factor * values[index] + offset
          magnitudes[index] = abs(factor) * magnitudes[index] + abs(offset)
          if shape.activation != .none {
            magnitudes[index] += max(abs(values[index]), 0.05)
            values[index] = ActivationCases.value(shape.activation, of: values[index])
          }
          if shape.hasResidual {
            values[index] += inputs[1][index]
            magnitudes[index] += abs(inputs[1][index])
          }
        }
        return .init(values, magnitudes: magnitudes)
      })
    if shape.variant == .cpuDotProduct { result.numbers = .bfloats }
    result.holdsRegisterTiles = shape.variant == .cpuRegisterTiled
    return result
  }

  private struct Trainable {
    var rows: Int
    var outputs: Int
    var inputs: Int
    var hasBias = true
    var variant: MatmulVariant?

    var description: String {
      "trainable \(rows)x\(outputs)x\(inputs)" + (hasBias ? " bias" : "") + (variant.map { " \($0)" } ?? "")
    }
  }

  private static func make(_ shape: Trainable) -> OperationCase {
    let (m, n, k) = (shape.rows, shape.outputs, shape.inputs)
    var inputs = [
      OperationCase.Input([m, k], differentiable: true), .init([n, k], differentiable: true),
    ]
    if shape.hasBias { inputs.append(.init([n], differentiable: true)) }
    var result = OperationCase(
      "linear", shape.description, inputs: inputs, terms: max(m, n, k),
      cost: .init(macs: Double(m * n * k), bytes: Double(4 * (m * k + n * k + m * n))),
      forward: { tape, inputs in
        try tape.linear(
          inputs[0], weight: inputs[1], bias: shape.hasBias ? inputs[2] : nil, variant: shape.variant)
      },
      reference: { inputs in
        let (values, magnitudes) = product(
          inputs[0], inputs[1], bias: shape.hasBias ? inputs[2] : nil, rows: m, outputs: n, inputs: k)
        return .init(values, magnitudes: magnitudes)
      })
    result.holdsRegisterTiles = shape.variant == .cpuRegisterTiled
    return result
  }

  /// `x W^T + bias`, and the sums of the terms' absolute values.
  private static func product(
    _ x: [Double], _ weight: [Double], bias: [Double]?, rows: Int, outputs: Int, inputs: Int
  ) -> ([Double], [Double]) {
    var values = [Double](repeating: 0, count: rows * outputs)
    var magnitudes = values
    x.withUnsafeBufferPointer { x in
      weight.withUnsafeBufferPointer { weight in
        for row in 0..<rows {
          for output in 0..<outputs {
            var sum = bias?[output] ?? 0
            var magnitude = abs(sum)
            var i = 0
            while i < inputs {
              let term = x[row * inputs + i] * weight[output * inputs + i]
              sum += term
              magnitude += abs(term)
              i += 1
            }
            values[row * outputs + output] = sum
            magnitudes[row * outputs + output] = magnitude
          }
        }
      }
    }
    return (values, magnitudes)
  }
}
