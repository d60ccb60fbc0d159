import GraftOps

/// A scion: trainable modules that join a frozen backbone at its sites.
///
/// A conforming type holds settings only. ``plan(for:)`` turns them into declared tensors, costs and, once the tensors
/// exist, modules; backbone and trainer know no adapter by name.
public protocol Adapter: Codable, Sendable, Hashable {
  /// The name on the command line and in `adapter_config.json`.
  var name: String { get }
  /// What it asks of a backbone; may depend on the settings.
  var needs: Set<Need> { get }
  /// What the adapter declares on a backbone of this shape, which has what it ``needs``.
  ///
  /// - Throws: ``GraftError`` when settings are out of range or do not fit the backbone.
  func plan(for shape: BackboneShape) throws -> AdapterPlan
  /// The preset of ``TrainingRecipe`` that the method's paper, or the code it comes from, trains with.
  var presetName: String { get }
  /// Peak learning rate of the preset `quick`.
  var quickLearningRate: Double { get }
  /// Names of the settings, as `--set` and `adapter_config.json` have them.
  var settingNames: [String] { get }
  /// Whether a model computes what the plain backbone computes until the first step.
  var startsAsBackbone: Bool { get }
}

extension Adapter {
  /// Nothing.
  public var needs: Set<Need> { [] }
  /// The preset of ``TrainingRecipe`` that the method's paper, or the code it comes from, trains with.
  public var presetName: String { "petl" }
  /// True: exactly one factor of what the adapter adds starts at zero.
  public var startsAsBackbone: Bool { true }
  /// 3e-3: in a short trial 1e-3 and 1e-2 were no better for most methods (the adapter reference has it).
  public var quickLearningRate: Double { 3e-3 }
}
