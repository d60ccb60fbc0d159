extension Adapter {
  /// Refuses a bottleneck that is empty or wider than the backbone.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)``.
  func requireBottleneck(_ bottleneck: Int, of shape: VisionTransformerShape) throws {
    guard (1...shape.width).contains(bottleneck) else {
      throw GraftError.badSetting(
        name: "bottleneck", value: "\(bottleneck)",
        reason: "it must be at least 1 and at most the backbone's width, \(shape.width).")
    }
  }

  /// Refuses a factor that is no number.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)``.
  func requireScale(_ scale: Float) throws {
    guard scale.isFinite else {
      throw GraftError.badSetting(name: "scale", value: "\(scale)", reason: "it must be a number.")
    }
  }
}
