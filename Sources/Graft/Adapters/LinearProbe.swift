/// Trains the classification head alone.
public struct LinearProbe: Adapter {
  /// `linear`.
  public var name: String { "linear" }
  /// 1e-2: a head alone takes larger steps.
  public var quickLearningRate: Double { 1e-2 }
  /// Names of the settings.
  public var settingNames: [String] {
    []
  }

  /// Creates the probe; there is nothing to set.
  public init() {}

  /// No tensors and no cost beside the head's.
  public func plan(for shape: BackboneShape) -> AdapterPlan { AdapterPlan() }
}
