package import GraftRuntime

/// Products by a GPU's matrix units: both operands in bf16, sums in fp32.
///
/// They are off until, on the device itself, their kernel has been built and has passed its check, and a tuning or
/// `GRAFT_MATMUL` asks for them. tf32, which rounds operands that nobody asked to be rounded, is not offered.
package enum MatrixUnits {
  /// How they share a product: as tuned, else what is best on paper.
  static func shape(on context: Context) -> MatmulUnits? {
    context.tuning.matmul.units ?? context.traits.matrixUnit.flatMap { MatmulUnits.candidates($0).first }
  }

  /// True where the kernel builds, and gives what the host and the same lanes without the unit give; computed once a
  /// device that is open.
  package static func isRight(_ shape: MatmulUnits, on context: Context) -> Bool {
    guard let unit = context.traits.matrixUnit, context.tuning.matmul.panel == 32,
      context.selfChecks.verdict(on: MatmulVariant.matrixUnits.rawValue, check: { true })
    else { return false }
    return context.selfChecks.verdict(on: name(shape)) {
      (try? check(Build(unit: unit, shape: shape), context.apart())) ?? false
    }
  }

  /// Says that they took a process with them that tried them: none of their shapes is tried in this one.
  package static func reject(on context: Context, fault: String) {
    context.selfChecks.reject(MatmulVariant.matrixUnits.rawValue, fault: fault)
  }

  /// What is wrong with a shape on a device, in words; `nil` where it is right.
  package static func fault(_ shape: MatmulUnits, _ unit: MatrixUnit, on context: Context) -> String? {
    do {
      return try check(Build(unit: unit, shape: shape), context) ? nil : "wrong results"
    } catch {
      return "\(error)"
    }
  }

  /// What the self-check calls them.
  package static func name(_ shape: MatmulUnits) -> String {
    "\(MatmulVariant.matrixUnits.rawValue), \(shape)"
  }

  /// A build of the kernel.
  package struct Build {
    package var unit: MatrixUnit
    package var shape: MatmulUnits
    /// Lanes compute what the unit would, on any device.
    package var isEmulated = false
    /// A mistake in the map of fragments, or 0, in a kernel that makes them for tests.
    package var mutant: Int?

    package init(unit: MatrixUnit, shape: MatmulUnits, isEmulated: Bool = false, mutant: Int? = nil) {
      (self.unit, self.shape, self.isEmulated, self.mutant) = (unit, shape, isEmulated, mutant)
    }
  }

  /// `output (m, n) = epilogue(a (m, k) * panels (k, n))`; `a` is rounded to bf16, if it is not bf16 already.
  static func multiply(
    _ a: Tensor, _ panels: MatmulPanels, rows m: Int, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    guard let unit = a.context.traits.matrixUnit, let shape = shape(on: a.context) else {
      throw MatmulError.noMatrixUnits(device: a.context.traits.name)
    }
    try multiply(a, panels, rows: m, epilogue: epilogue, into: output, by: Build(unit: unit, shape: shape))
  }

  static func multiply(
    _ a: Tensor, _ panels: MatmulPanels, rows m: Int, epilogue: MatmulEpilogue, into output: Tensor,
    by build: Build
  ) throws {
    precondition(panels.isPaired && panels.width == 32, "panels of pairs, 32 columns each")
    precondition(a.element == .float32 || panels.inner % 2 == 0, "no rows of pairs")
    let (k, isPairs) = (panels.inner, a.element == .uint16)
    let isWhole = isPairs ? k % 8 == 0 : k % 4 == 0
    var macros = [KernelKey.Macro("UNIT", build.unit.macro)] + build.shape.macros
    macros += [.init("QUADS", isWhole ? 1 : 0), .init("PARTS", epilogue.parts)]
    if isPairs { macros.append(.init("A_WORDS", 1)) }
    if !build.isEmulated { macros.append(.init("INSTRUCTION", 1)) }
    if build.mutant != nil { macros.append(.init("MUTANTS", 1)) }
    var kernel = KernelKey(
      "matmul_units", "matmul_units", macros: macros + output.element.resultMacros + epilogue.scaleMacros)
    let items = build.shape.items(build.unit)
    // 512 lanes share a core's 65,536: two groups of the large tile, four of the small one.
    if case .nvidia = build.unit, !build.isEmulated { kernel.mostRegisters = 128 }
    let (rows, columns) = (build.shape.tileRows(build.unit), build.shape.tileColumns(build.unit))
    try a.context.run(
      kernel, over: [(panels.columns + columns - 1) / columns * items, (m + rows - 1) / rows],
      group: [items, 1],
      arguments: [a.buffer, panels.tensor.buffer, output.buffer] + epilogue.arguments(unused: output)
        + [m, panels.columns, k] + epilogue.scaleArguments + (build.mutant.map { [$0] } ?? []))
  }
}

// MARK: Self-check

extension MatrixUnits {
  /// Rows, columns, and what is summed.
  package typealias Size = (m: Int, n: Int, k: Int)

  /// What a product by a build gives.
  ///
  /// - Parameter isPaired: `a` is bf16 already where it is read.
  package static func product(
    _ a: [Float], _ b: [Float], _ size: Size, isPaired: Bool = false, by build: Build, on context: Context
  ) throws -> [Float] {
    let (m, n, k) = size
    let panels = try MatmulPanels(
      Tensor(b, shape: [n, k], on: context), inner: k, columns: n, transposed: true, precision: .bf16,
      isPaired: true)
    let rows = try isPaired ? pairs(a, [m, k], on: context) : Tensor(a, shape: [m, k], on: context)
    let output = try Tensor(empty: [m, n], on: context)
    try multiply(rows, panels, rows: m, epilogue: .init(), into: output, by: build)
    return try output.floats()
  }

  /// Numbers that bf16 holds, as bf16.
  private static func pairs(_ values: [Float], _ shape: [Int], on context: Context) throws -> Tensor {
    let tensor = try Tensor(empty: shape, element: .uint16, on: context)
    try values.map { UInt16($0.bitPattern >> 16) }.withUnsafeBytes {
      try context.write($0, to: tensor.buffer)
    }
    return tensor
  }

  /// Every kind of edge: one, odd, a row alone, uneven steps, and more than a tile.
  private static let sizes: [Size] = [(1, 1, 1), (33, 70, 64), (139, 141, 45)]

  /// True where results are right: whole numbers to the bit, by the host and by the lanes without the unit; others within
  /// the error of sums in fp32; and where no number comes in, none comes out, in its row alone.
  package static func check(_ build: Build, _ context: Context) throws -> Bool {
    guard try sizes.allSatisfy({ try isExact($0, by: build, on: context) }) else { return false }
    return try isRight((35, 37, 203), by: build, on: context)
  }

  /// Whole numbers, which bf16 and every sum hold exactly: any order of additions must give the same.
  ///
  /// - Parameter takesPairs: multiplies rows that are bf16 already, too.
  package static func isExact(
    _ size: Size, by build: Build, on context: Context, takesPairs: Bool = true
  ) throws -> Bool {
    let (m, n, k) = size
    let (a, b) = (whole(m * k, 120, 7), whole(n * k, 120, 11))
    let results = try product(a, b, size, by: build, on: context)
    guard results == hostProduct(a, b, size).map(Float.init) else { return false }
    if takesPairs, k % 2 == 0 {
      guard try product(a, b, size, isPaired: true, by: build, on: context) == results else { return false }
    }
    guard !build.isEmulated, m < 64 else { return true }
    // In a small group, since emulated lanes need local memory of their own.
    let emulated = Build(unit: build.unit, shape: MatmulUnits(2, 2, waves: (1, 1)), isEmulated: true)
    return try product(a, b, size, by: emulated, on: context) == results
  }

  /// Numbers that are rounded on their way, and two rows with what is none.
  package static func isRight(_ size: Size, by build: Build, on context: Context) throws -> Bool {
    let (m, n, k) = size
    var a = whole(m * k, 1 << 20, 3).map { $0 / 0x1p20 }
    let b = whole(n * k, 1 << 20, 5).map { $0 / 0x1p20 }
    a[4 * k + 9] = .nan
    a[7 * k] = .infinity
    let results = try product(a, b, size, by: build, on: context)
    let expected = hostProduct(a.map(rounded), b.map(rounded), size)
    let most = expected.reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 }
    return zip(results, expected).allSatisfy { result, expected in
      expected.isFinite
        ? abs(Double(result) - expected) <= 1e-5 * most
        : expected.isNaN ? result.isNaN : Double(result) == expected
    }
  }

  /// Numbers from -most to most, no two rows alike.
  private static func whole(_ count: Int, _ most: UInt32, _ seed: UInt32) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float((state >> 8) % (2 * most + 1)) - Float(most)
    }
  }

  /// As bf16, to nearest, ties to even.
  package static func rounded(_ value: Float) -> Float {
    guard value.isFinite else { return value }
    let bits = value.bitPattern
    return Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
  }

  private static func hostProduct(_ a: [Float], _ b: [Float], _ size: Size) -> [Double] {
    let (m, n, k) = size
    var sums = [Double](repeating: 0, count: m * n)
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        for row in 0..<m {
          for column in 0..<n {
            var sum = 0.0
            for i in 0..<k { sum += Double(a[row * k + i]) * Double(b[column * k + i]) }
            sums[row * n + column] = sum
          }
        }
      }
    }
    return sums
  }
}
