/// Dyn-Adapter (arXiv 2407.14302): early exits over a host adapter, so that easy images stop early.
///
/// Certain from the paper: a frozen backbone with any host, several heads at fixed intervals with MLPs at the shallow
/// ones, exit by confidence, loss weights that move during training, dropout that is higher in shallow blocks, and
/// random masks on the adapter's gradients. **Reconstructed**: no official code was found, so the norms, widths,
/// weights, rates and schedule below are settings of ours and not the paper's word. On ViT-B/16 with 940/19 classes (the mean
/// of VTAB-1k) the early heads have 147,517 scalars, which is what
/// the growth of 59 to 75 % over its hosts that the paper reports amounts to.
///
/// The last exit is the host's own path, so a threshold above 1 gives the host's logits to the bit.
public struct Dyn: Adapter {
  /// How the losses of the heads are weighted during training.
  public enum Schedule: String, Codable, Sendable, CaseIterable {
    /// All weights 1.
    case constant
    /// Along straight lines with the progress of training: ``Dyn/earlyWeight`` and ``Dyn/lastWeight``.
    case adaptive
  }

  /// `dyn`.
  public var name: String { "dyn" }
  /// The host's.
  public var presetName: String { host.adapter.presetName }
  /// The host's.
  public var quickLearningRate: Double { host.adapter.quickLearningRate }
  /// The host's.
  public var needs: Set<Need> { host.adapter.needs }
  /// Whether the host does.
  public var startsAsBackbone: Bool { host.adapter.startsAsBackbone }
  /// Names of the settings; the host's follow `host.`.
  public var settingNames: [String] {
    [
      "host", "exits", "mlp_exits", "hidden", "schedule", "early_weight", "last_weight", "dropout",
      "gradient_drop",
    ] + host.adapter.settingNames.map { "host." + $0 }
  }

  /// The adapter that learns beside the heads; `linear` is none.
  public var host: HostAdapter
  /// Blocks below each early exit, rising; by default after each quarter of the blocks.
  public var exits: [Int]?
  /// How many of the exits, from the shallowest, have an MLP for a head; more than there are means all.
  public var mlpExits: Int
  /// Width of such an MLP.
  public var hidden: Int
  /// How the losses of the heads are weighted.
  public var schedule: Schedule
  /// Weight of the early heads' losses at the beginning and at the end of training.
  public var earlyWeight: [Float]
  /// Weight of the last head's loss at the beginning and at the end of training.
  public var lastWeight: [Float]
  /// Dropout in the host, from the first block to the last; `nil` leaves the host its own.
  ///
  /// A host without dropout has nothing to set.
  public var dropout: BlockRate?
  /// Probability with which an element of the host's gradients is dropped at each step.
  public var gradientDrop: Float

  /// Creates settings; see the type's note on provenance.
  public init(
    host: any Adapter = RepAdapter(), exits: [Int]? = nil, mlpExits: Int = 2, hidden: Int = 64,
    schedule: Schedule = .adaptive, earlyWeight: [Float] = [1, 0.5], lastWeight: [Float] = [0.5, 1],
    dropout: BlockRate? = BlockRate(from: 0.3, to: 0.1), gradientDrop: Float = 0.2
  ) {
    self.host = HostAdapter(host)
    self.exits = exits
    self.mlpExits = mlpExits
    self.hidden = hidden
    self.schedule = schedule
    self.earlyWeight = earlyWeight
    self.lastWeight = lastWeight
    self.dropout = dropout
    self.gradientDrop = gradientDrop
  }

  /// The host's plan with heads, loss weights and gradient masks.
  ///
  /// - Throws: ``GraftError`` when the host does not fit, has exits itself, or a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    let exits = exits ?? (1...3).map { $0 * shape.depth / 4 }
    try check(exits, shape)
    var host = host.adapter
    if let dropout, host.settingNames.contains("dropout") {
      try dropout.requireProbability("dropout")
      host = try AdapterCatalog.setting("dropout", to: dropout.text, of: host)
    }
    var plan = AdapterPlan()
    plan.exits = exits.enumerated().map { .exit(after: $1, hidden: $0 < mlpExits ? hidden : nil, on: shape) }
    plan.gradientDrop = gradientDrop
    if schedule == .adaptive {
      let (early, last, count) = (earlyWeight, lastWeight, exits.count)
      plan.lossWeights = { progress in
        func weight(_ ends: [Float]) -> Float { ends[0] + (ends[1] - ends[0]) * Float(progress) }
        return [Float](repeating: weight(early), count: count) + [weight(last)]
      }
    } else {
      plan.lossWeights = { [count = exits.count + 1] _ in [Float](repeating: 1, count: count) }
    }
    try plan.add(AdapterPlan(host, on: shape), of: host.name)
    return plan
  }

  private func check(_ exits: [Int], _ shape: BackboneShape) throws {
    let isRising = zip(exits, exits.dropFirst()).allSatisfy { $0 < $1 }
    try SettingCheck.require(
      !exits.isEmpty && isRising && exits.allSatisfy { (1..<shape.depth).contains($0) }, "exits", exits,
      "they must rise within 1...\(shape.depth - 1), counted in blocks; the last block has its head anyway.")
    try SettingCheck.require(mlpExits >= 0, "mlp_exits", mlpExits, "it must not be negative.")
    try SettingCheck.require((1...65_536).contains(hidden), "hidden", hidden, "it must be in 1...65536.")
    for (name, ends) in [("early_weight", earlyWeight), ("last_weight", lastWeight)] {
      try SettingCheck.require(
        ends.count == 2 && ends.allSatisfy { $0 >= 0 && $0.isFinite } && ends.contains { $0 > 0 }, name, ends,
        "give the weight at the beginning and at the end of training, not negative and not both 0.")
    }
    try SettingCheck.require(
      (0..<1).contains(gradientDrop), "gradient_drop", gradientDrop, "it must be in 0..<1.")
  }
}
