/// Rows and columns of cells: what an image is cut into.
public struct Grid: Codable, Sendable, Hashable, CustomStringConvertible {
  /// Number of rows.
  public var rows: Int
  /// Number of columns.
  public var columns: Int

  /// Creates a grid.
  public init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
  }

  /// A square grid.
  public init(side: Int) { self.init(rows: side, columns: side) }

  /// Number of cells.
  public var count: Int { rows * columns }

  /// Such as `14x14`.
  public var description: String { "\(rows)x\(columns)" }
}
