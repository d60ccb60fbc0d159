public import GraftRuntime
import GraftSystem

extension MatmulVariant {
  /// The variant to use on a device.
  ///
  /// - Parameters:
  ///   - asked: what the caller wants; `nil` takes `GRAFT_MATMUL` from the environment, and without it what the
  ///     context's tuning says.
  ///   - context: the device.
  ///   - precision: of the frozen operand; CLBlast, where the tuning alone wants it, gives way to a kernel that reads it.
  /// - Throws: ``MatmulError`` when the environment names no variant, or one that this build lacks.
  package static func choose(
    _ asked: MatmulVariant?, on context: Context, precision: StoragePrecision = .fp32
  ) throws -> MatmulVariant {
    var choice = asked
    if choice == nil, let name = environment("GRAFT_MATMUL"), !name.isEmpty {
      guard let named = MatmulVariant(rawValue: name) else { throw MatmulError.unknownVariant(name) }
      choice = named
    }
    let tuned = context.tuning.matmul.variant
    var variant = choice ?? (precision == .fp32 ? tuned : tuned.own(on: context))
    guard variant.isAvailable else { throw MatmulError.unavailable(variant) }
    if variant == .clblast, let fault = clblastFault(on: context.traits) {
      // Who asks for it is told; a tuning is of the library that was there then.
      guard choice == nil else { throw fault }
      variant = variant.own(on: context)
    }
    if choice == nil, precision == .bf16, variant == .cpuRegisterTiled, DotProduct.isRight(on: context) {
      variant = .cpuDotProduct
    }
    if choice == nil, precision == .bf16, variant == .localMemoryTiled,
      let units = context.tuning.matmul.units,
      MatrixUnits.isRight(units, on: context)
    {
      variant = .matrixUnits
    }
    return variant
  }

  /// Itself, or in place of one that serves some precisions only the device's default, which serves all.
  func own(on context: Context) -> MatmulVariant {
    self == .clblast || multipliesBFloats ? Tuning.default(for: context.traits).matmul.variant : self
  }
}

extension MatmulVariant {
  /// Why CLBlast must not multiply on a device; `nil` where it may.
  package static func clblastFault(on traits: DeviceTraits) -> MatmulError? {
    #if CLBlast
      clblastFault(version: CLBlast.version, on: traits)
    #else
      .unavailable(.clblast)
    #endif
  }

  /// 1.6.2 gives wrong products on Intel's GPUs (CLBlast issue 533); 1.6.3 does not.
  static func clblastFault(version: String?, on traits: DeviceTraits) -> MatmulError? {
    version == "1.6.2" && traits.family.isIntel
      ? .wrongLibrary(version: "1.6.2", device: traits.name) : nil
  }
}

/// What can go wrong in a matrix product.
public enum MatmulError: Error, Equatable, Sendable, CustomStringConvertible {
  /// `GRAFT_MATMUL` names no variant.
  case unknownVariant(String)
  /// This build lacks the variant.
  case unavailable(MatmulVariant)
  /// This version of CLBlast multiplies wrongly on the device.
  case wrongLibrary(version: String, device: String)
  /// CLBlast refused, with its status code.
  case clblast(status: Int)
  /// The variant multiplies another precision alone.
  case anotherPrecision(MatmulVariant, StoragePrecision)
  /// The device has no bf16 dot product, or one that gives wrong results.
  case noDotProduct(device: String)
  /// The device has no matrix units that kernels can reach, or they give wrong results.
  case noMatrixUnits(device: String)
  /// A weight is too large for fp16.
  case beyondHalf(Float)

  /// What happened and what to try.
  public var description: String {
    switch self {
    case .unknownVariant(let name):
      """
      GRAFT_MATMUL is "\(name)", which is no way to multiply matrices. Choose one of \
      \(MatmulVariant.allCases.map(\.rawValue).joined(separator: ", ")), or unset it.
      """
    case .unavailable(let variant):
      "This build of Graft has no \(variant.rawValue): build it with the package trait CLBlast."
    case .wrongLibrary(let version, let device):
      """
      CLBlast \(version) gives wrong products on "\(device)": install CLBlast 1.6.3 or later, or unset GRAFT_MATMUL to use \
      Graft's own kernels.
      """
    case .anotherPrecision(let variant, let precision):
      """
      \(variant.rawValue) multiplies \(variant.multipliesBFloats ? "bf16" : "fp32") only, not \
      \(precision.rawValue): unset GRAFT_MATMUL, or choose another precision.
      """
    case .noDotProduct(let device):
      """
      "\(device)" offers no bf16 dot product that gives right results: unset GRAFT_MATMUL, and the products are \
      computed in fp32.
      """
    case .noMatrixUnits(let device):
      """
      "\(device)" offers no matrix units that give right results: unset GRAFT_MATMUL, and the products are computed in \
      fp32.
      """
    case .beyondHalf(let value):
      "The weight \(value) is beyond fp16, which ends at 65504. Choose bf16 or fp32."
    case .clblast(let status):
      """
      CLBlast could not multiply the matrices (status \(status)). Set GRAFT_MATMUL to another variant to do \
      without it.
      """
    }
  }
}

/// What follows a product, folded into its last step: `y = drop(activation(scale * (A B) + bias)) + residual`.
package struct MatmulEpilogue {
  /// One factor a column.
  package var scale: Tensor?
  package var bias: Tensor?
  package var activation = Activation.none
  package var residual: Tensor?
  /// Receives `scale * (A B) + bias`.
  package var preactivation: Tensor?
  /// What is dropped; of Kernels/matmul_tiles.cl alone.
  var mask: DropoutMask?
  /// True where `y = drop(A B) * f'(preactivation) + residual`; of the same kernel alone.
  private(set) var isBackward = false

  package init(
    scale: Tensor? = nil, bias: Tensor? = nil, activation: Activation = .none, residual: Tensor? = nil,
    preactivation: Tensor? = nil
  ) {
    self.scale = scale
    self.bias = bias
    self.activation = activation
    self.residual = residual
    self.preactivation = preactivation
  }

  /// What goes back through what a product applied, plus the sum so far.
  init(through applied: Pointwise?, residual: Tensor?) {
    self.residual = residual
    guard let applied else { return }
    (activation, preactivation, mask) = (applied.activation, applied.preactivation, applied.mask)
    isBackward = true
  }

  var isEmpty: Bool { scale == nil && parts == 0 }

  /// Which parts there are besides the scale, as matmul.cl's PARTS counts them.
  var parts: Int {
    (bias == nil ? 0 : 1) + (residual == nil ? 0 : 2) + (preactivation == nil || isBackward ? 0 : 4)
      + 8 * activation.macro
  }

  /// The operands in the kernels' order; `unused` stands in for those that are switched off.
  func arguments(unused: Tensor) -> [any KernelArgument] {
    [(bias ?? unused).buffer, (residual ?? unused).buffer, (preactivation ?? unused).buffer]
  }

  /// What kernels with a scale are built with, and their last argument; nothing without, so that they stay as they were.
  var scaleMacros: [KernelKey.Macro] { scale == nil ? [] : [.init("SCALE", 1)] }
  var scaleArguments: [any KernelArgument] { scale.map { [$0.buffer] } ?? [] }

  /// The same for what Kernels/matmul_tiles.cl alone can do.
  var tileMacros: [KernelKey.Macro] {
    scaleMacros + (mask == nil ? [] : [.init("DROP", 1)]) + (isBackward ? [.init("GRADIENT_OF_F", 1)] : [])
  }
  var tileArguments: [any KernelArgument] {
    scaleArguments
      + (mask.map { [$0.key.0, $0.key.1, $0.key.2, $0.threshold, $0.scale] as [any KernelArgument] } ?? [])
  }
}
