/// Checks of settings that several adapters have; each throws ``GraftError/badSetting(name:value:reason:)``.
enum SettingCheck {
  /// A rank is at least 1 and at most the backbone's width.
  static func rank(_ value: Int, width: Int) throws {
    guard (1...width).contains(value) else {
      throw GraftError.badSetting(
        name: "rank", value: "\(value)",
        reason: "it must be at least 1 and at most the backbone's width, \(width).")
    }
  }

  /// A factor is a number.
  static func finite(_ value: Float, _ name: String) throws {
    guard value.isFinite else {
      throw GraftError.badSetting(name: name, value: "\(value)", reason: "it must be a number.")
    }
  }
}
