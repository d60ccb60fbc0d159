package import GraftRuntime
import Synchronization

/// An operation at the shapes of a model, as the tuner runs it.
package struct TuningWorkload: Sendable {
  /// No two have the same name.
  package let name: String
  /// Length of its longest sum, for the tolerance.
  let terms: Int
  /// Prepares it under the context's tuning; what it returns is timed, and returns the results.
  let prepare: @Sendable (Context) throws -> () throws -> [Tensor]

  package init(
    _ name: String, terms: Int, prepare: @escaping @Sendable (Context) throws -> () throws -> [Tensor]
  ) {
    self.name = name
    self.terms = terms
    self.prepare = prepare
  }

  /// Forward products of frozen linear layers; the gradients' are of the same kind.
  ///
  /// - Parameters:
  ///   - rows: of what goes in.
  ///   - layers: widths of each layer.
  package static func products(
    _ name: String = "matmul", rows: Int, layers: [(outputs: Int, inputs: Int)]
  ) -> TuningWorkload {
    let operands = Operands(rows: rows, layers: layers)
    return TuningWorkload(name, terms: layers.map(\.inputs).max() ?? 1) { context in
      let prepared = try operands.values.map { layer, weight, bias, values in
        (
          try PreparedLinear(
            weight: weight, bias: bias, outputs: layer.outputs, inputs: layer.inputs, on: context,
            variant: context.tuning.matmul.variant),
          try Tensor(values, shape: [rows, layer.inputs], on: context)
        )
      }
      return { try prepared.map { layer, x in try Tape().linear(x, layer) } }
    }
  }

  /// The same with weights in bf16, by what the tuning has for them.
  ///
  /// All numbers are bf16 already, so that those who round operands and those who do not compute the same.
  static func bfloatProducts(rows: Int, layers: [(outputs: Int, inputs: Int)]) -> TuningWorkload {
    let operands = Operands(rows: rows, layers: layers)
    return TuningWorkload("matmul in bf16", terms: layers.map(\.inputs).max() ?? 1) { context in
      let matmul = context.tuning.matmul
      let prepared = try operands.values.map { layer, weight, bias, values in
        (
          try PreparedLinear(
            weight: exact(weight), bias: bias, outputs: layer.outputs, inputs: layer.inputs, on: context,
            precision: .bf16, variant: matmul.units == nil ? matmul.variant : .matrixUnits),
          try Tensor(exact(values), shape: [rows, layer.inputs], on: context)
        )
      }
      return { try prepared.map { layer, x in try Tape().linear(x, layer) } }
    }
  }

  /// Cut to bf16.
  private static func exact(_ values: [Float]) -> [Float] {
    values.map { Float(bitPattern: $0.bitPattern & 0xffff_0000) }
  }

  /// Numbers to multiply, made when they are first asked for: many rows are many, and a CPU asks for a few alone.
  private final class Operands: Sendable {
    typealias Values = [(layer: (outputs: Int, inputs: Int), weight: [Float], bias: [Float], rows: [Float])]
    private let made = Mutex<Values?>(nil)
    private let rows: Int
    private let layers: [(outputs: Int, inputs: Int)]

    init(rows: Int, layers: [(outputs: Int, inputs: Int)]) { (self.rows, self.layers) = (rows, layers) }

    var values: Values {
      made.withLock { made in
        let values =
          made
          ?? layers.map { layer in
            // A product's elements are then of the size of its operands'.
            let weight = noise(layer.outputs * layer.inputs, upTo: 1 / Float(layer.inputs).squareRoot())
            return (layer, weight, noise(layer.outputs), noise(rows * layer.inputs))
          }
        made = values
        return values
      }
    }
  }

  /// Which passes of attention to run.
  package enum Passes: String, Sendable {
    case forward = "attention forward"
    case backward = "attention backward"
    case both = "attention"
  }

  /// Attention over sequences of one length.
  package static func attention(
    _ passes: Passes, batch: Int, tokens: Int, heads: Int, headSize: Int
  ) -> TuningWorkload {
    let width = heads * headSize
    let values = noise(batch * tokens * 3 * width)
    let upstream = noise(batch * tokens * width)
    return TuningWorkload(passes.rawValue, terms: tokens + headSize) { context in
      let qkv = try Tensor(values, shape: [batch, tokens, 3 * width], on: context)
      let gradient = try Tensor(upstream, shape: [batch, tokens, width], on: context)
      let kernels = try AttentionShape(qkv, heads: heads, queries: nil).kernels(nil, on: context)
      let first = try kernels.forward(qkv)
      return {
        let (output, logSumExp) = passes == .backward ? first : try kernels.forward(qkv)
        guard passes != .forward else { return [output] }
        return [output, try kernels.backward(qkv, output, logSumExp, gradient)]
      }
    }
  }

  /// Numbers up to `most` in size, the same on every call.
  private static func noise(_ count: Int, upTo most: Float = 1) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { values, initialized in
      var state: UInt32 = 1
      for index in 0..<count {
        state = state &* 1_664_525 &+ 1_013_904_223
        values[index] = most * (Float(state >> 8) / Float(1 << 23) - 1)
      }
      initialized = count
    }
  }
}

/// One parameter of a ``Tuning``, and what to try for it.
package struct TuningStep: Sendable {
  package let parameter: String
  package let workload: TuningWorkload
  /// The parameter's value in words.
  let label: @Sendable (Tuning) -> String
  /// What to try, beginning from a tuning on a device; nothing where the parameter is of no use.
  let candidates: @Sendable (Tuning, DeviceTraits) -> [Tuning]

  package init(
    _ parameter: String, _ workload: TuningWorkload, label: @escaping @Sendable (Tuning) -> String,
    candidates: @escaping @Sendable (Tuning, DeviceTraits) -> [Tuning]
  ) {
    self.parameter = parameter
    self.workload = workload
    self.label = label
    self.candidates = candidates
  }

  /// Some values of one field.
  private init<Value: Sendable>(
    _ parameter: String, _ workload: TuningWorkload, _ field: any WritableKeyPath<Tuning, Value> & Sendable,
    _ values: [Value], where isOfUse: @escaping @Sendable (Tuning, DeviceTraits) -> Bool = { _, _ in true }
  ) {
    self.init(parameter, workload) {
      "\($0[keyPath: field])"
    } candidates: { tuning, traits in
      guard isOfUse(tuning, traits) else { return [] }
      return values.map { value in
        var tuning = tuning
        tuning[keyPath: field] = value
        return tuning
      }
    }
  }
}

extension TuningStep {
  /// Everything that is tuned, what matters most first: the time may run out.
  ///
  /// - Parameters:
  ///   - layers: widths of the frozen linear layers.
  ///   - batch: images at a time.
  ///   - tokens: of an image.
  package static func all(
    layers: [(outputs: Int, inputs: Int)], batch: Int, tokens: Int, heads: Int, headSize: Int
  ) -> [TuningStep] {
    func attention(_ passes: TuningWorkload.Passes) -> TuningWorkload {
      .attention(passes, batch: batch, tokens: tokens, heads: heads, headSize: headSize)
    }
    let products = TuningWorkload.products(rows: batch * tokens, layers: layers)
    func ofRows(_ wanted: Int, _ rows: MatmulRows) -> TuningWorkload {
      let count = min(max(wanted, rows.range.lowerBound), rows.range.upperBound)
      return .products("matmul, \(count) rows", rows: count, layers: layers)
    }
    let (forward, backward, both) = (attention(.forward), attention(.backward), attention(.both))
    // All keys of an image in one tile, or in as many as are worth their overhead; tiles are whole vectors.
    let keys = (1...8).map { (tokens + 16 * $0 - 1) / (16 * $0) * 16 }
    let isCPU: @Sendable (Tuning, DeviceTraits) -> Bool = { $1.isCPU }
    let usesRegisters: @Sendable (Tuning, DeviceTraits) -> Bool = { tuning, _ in
      tuning.matmul.variant == .cpuRegisterTiled
    }
    return [
      registerTile(products),
      lanes(ofRows(16 * tokens, .many)),
      tile(.few, ofRows(tokens, .few)),
      tile(.many, ofRows(16 * tokens, .many)),
      tile(.some, ofRows(4 * tokens, .some)),
      TuningStep("keys", forward, \.attention.forwardKeys, keys, where: isCPU),
      TuningStep("keys", backward, \.attention.backwardKeys, keys, where: isCPU),
      TuningStep("vectors", both, \.attention.vectors, [1, 2, 3, 4], where: isCPU),
      attentionTile(.forward, forward),
      attentionTile(.queries, backward),
      attentionTile(.keys, backward),
      TuningStep("items per core", both, \.attention.itemsPerCore, [1, 2, 4, 8], where: isCPU),
      TuningStep(
        "block bytes", products, \.matmul.blockBytes, [1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22],
        where: usesRegisters),
      units(.bfloatProducts(rows: batch * tokens, layers: layers)),
      variant(products, rows: batch * tokens, layers: layers),
    ]
  }

  private static func variant(
    _ products: TuningWorkload, rows: Int, layers: [(outputs: Int, inputs: Int)]
  ) -> TuningStep {
    // Of other shapes CLBlast copies and pads its operands.
    let isForCLBlast = rows >= 1024 && layers.allSatisfy { $0.outputs % 128 == 0 && $0.inputs % 128 == 0 }
    return TuningStep("variant", products) {
      $0.matmul.variant.rawValue
    } candidates: { tuning, traits in
      // Elsewhere than on a CPU the register tile can only lose, and some drivers take minutes to build it.
      // A tuning serves every precision.
      MatmulVariant.allCases.filter {
        $0.isAvailable && !$0.multipliesBFloats && (traits.isCPU || $0 != .cpuRegisterTiled)
          && ($0 != .clblast || isForCLBlast && MatmulVariant.clblastFault(on: traits) == nil)
      }.map {
        var tuning = tuning
        tuning.matmul.variant = $0
        return tuning
      }
    }
  }

  /// How groups share products of so many rows, on a GPU.
  private static func tile(_ rows: MatmulRows, _ products: TuningWorkload) -> TuningStep {
    TuningStep("tile of \(rows) rows", products) {
      "\($0[keyPath: rows.field])"
    } candidates: { tuning, traits in
      guard !traits.isCPU, tuning.matmul.variant == .localMemoryTiled else { return [] }
      return MatmulTile.candidates(traits.family, rows).map {
        var tuning = tuning
        tuning[keyPath: rows.field] = $0.limited(items: traits.largestGroup, localMemory: traits.localMemory)
        return tuning
      }
    }
  }

  /// How waves share them, where lanes read each other's registers.
  private static func lanes(_ products: TuningWorkload) -> TuningStep {
    TuningStep("lanes", products) {
      $0.matmul.kernel == .lanes ? "\($0.matmul.lanes)" : "none"
    } candidates: { tuning, traits in
      let candidates = MatmulLanes.candidates(traits)
      guard !candidates.isEmpty, tuning.matmul.variant == .localMemoryTiled else { return [] }
      var none = tuning
      none.matmul.kernel = .tiles
      return candidates.map {
        var tuning = tuning
        (tuning.matmul.kernel, tuning.matmul.lanes) = (.lanes, $0)
        return tuning
      } + [none]
    }
  }

  /// Matrix units, where there are any and weights are bf16.
  private static func units(_ products: TuningWorkload) -> TuningStep {
    TuningStep("matrix units", products) {
      $0.matmul.units.map { "\($0)" } ?? "none"
    } candidates: { tuning, traits in
      guard let unit = traits.matrixUnit, tuning.matmul.variant == .localMemoryTiled else { return [] }
      return MatmulUnits.candidates(unit).map {
        var tuning = tuning
        tuning.matmul.units = $0
        return tuning
      }
    }
  }

  /// Rows and columns whose sums fill at least a third of the vector registers and leave some for operands.
  private static func registerTile(_ products: TuningWorkload) -> TuningStep {
    TuningStep("register tile", products) {
      "\($0.matmul.rows) x \($0.matmul.panel)"
    } candidates: { tuning, traits in
      guard tuning.matmul.variant == .cpuRegisterTiled else { return [] }
      // AVX-512 has 32 of 16 floats, AVX2 16 of 8, NEON 32 of 4.
      let lanes = traits.hasWideRegisters ? 16 : min(max(traits.vectorWidth, 4), 8)
      let registers = lanes == 8 ? 16 : 32
      return [16, 32].flatMap { panel in
        [2, 3, 4, 5, 6, 8, 10, 12, 14].compactMap { rows in
          let sums = rows * panel / lanes
          guard sums < registers, 3 * sums >= registers else { return nil }
          var tuning = tuning
          (tuning.matmul.rows, tuning.matmul.panel) = (rows, panel)
          return tuning
        }
      }
    }
  }

  /// Groups and items of a pass of attention.
  private static func attentionTile(
    _ pass: AttentionTile.Pass, _ attention: TuningWorkload
  ) -> TuningStep {
    TuningStep("tile of \(pass)", attention) { tuning in
      guard let tile = tuning.attention.tiles?[pass] else { return "default" }
      return
        "\(tile.rows) x \(tile.others), \(tile.perItem) rows and \(tile.across) across, \(tile.columns) columns, ahead \(tile.ahead)"
    } candidates: { tuning, traits in
      guard !traits.isCPU else { return [] }
      let shapes: [(rows: Int, others: Int, perItem: Int, across: Int)] = [
        (64, 32, 8, 8), (64, 32, 4, 8), (32, 32, 4, 8), (32, 64, 4, 16),
      ]
      return shapes.flatMap { shape in
        [(columns: 16, part: 16, ahead: 4), (16, 16, 16), (64, 32, 16)].map { steps in
          var tiles = tuning.attention.tiles(on: traits)
          tiles[pass] = AttentionTile(
            rows: shape.rows, others: shape.others, perItem: shape.perItem, across: shape.across,
            columns: steps.columns, part: steps.part, ahead: steps.ahead)
          var tuning = tuning
          tuning.attention.tiles = tiles
          return tuning
        }
      }
    }
  }
}
