/// Checks of settings; each throws ``GraftError/badSetting(name:value:reason:)``.
enum SettingCheck {
  static func require(_ holds: Bool, _ name: String, _ value: Any, _ reason: String) throws {
    if !holds { throw GraftError.badSetting(name: name, value: "\(value)", reason: reason) }
  }

  /// A rank or a bottleneck is at least 1 and at most the backbone's width.
  static func narrow(_ value: Int, _ name: String, in width: Int) throws {
    try require(
      (1...width).contains(value), name, value,
      "it must be at least 1 and at most the backbone's width, \(width).")
  }

  /// The same where places have several widths: the narrowest counts.
  static func narrow(_ value: Int, _ name: String, in parts: [Part]) throws {
    if let width = parts.map(\.reads).min() { try narrow(value, name, in: width) }
  }

  /// A factor is a number.
  static func finite(_ value: Float, _ name: String) throws {
    try require(value.isFinite, name, value, "it must be a number.")
  }
}
