/// Keeps rows of floats by a name.
protocol FeatureStore: AnyObject {
  /// Bytes that it still takes.
  var room: Int { get }
  /// Bytes of the rows that it holds.
  var bytes: Int { get }
  /// Whether it holds a row.
  func holds(_ name: String) -> Bool
  /// A row; `nil` where there is none, or none that can be used.
  func row(_ name: String, count: Int) -> [Float]?
  /// Keeps a row, if there is room.
  func keep(_ row: [Float], as name: String) throws
  /// Makes what was kept outlive the process, if it ever will.
  func flush() throws
}

/// Rows in the process's memory.
final class FeatureMemory: FeatureStore {
  private var rows: [String: [Float]] = [:]
  private(set) var room: Int
  private(set) var bytes = 0

  init(limit: Int) { room = limit }

  func holds(_ name: String) -> Bool { rows[name] != nil }

  func row(_ name: String, count: Int) -> [Float]? { rows[name] }

  func keep(_ row: [Float], as name: String) {
    guard rows[name] == nil, row.count * 4 <= room else { return }
    rows[name] = row
    room -= row.count * 4
    bytes += row.count * 4
  }

  func flush() {}
}
