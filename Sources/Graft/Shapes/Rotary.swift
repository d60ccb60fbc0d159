public import GraftOps
import GraftSystem

/// Positions that are turned into queries and keys (RoPE, arXiv 2104.09864), by row and column of a cell.
///
/// With a head of width d and m = d / 4 frequencies, a cell at (u, v) turns pair j of the first half of the pairs by the
/// angle of u, and of the second half by that of v:
///
///     normalized   2 pi u / base^(4j/d),   u = 2 (row + 0.5) / rows - 1
///     index        u * base^(-4j/d),       u = row * side / rows
///
/// Tokens in front of the cells are not turned.
public struct Rotary: Codable, Sendable, Hashable {
  /// What a row's or a column's coordinate is.
  public enum Coordinates: Codable, Sendable, Hashable {
    /// From -1 to 1 over the image (DINOv3).
    case normalized
    /// Its number, scaled to a grid of so many cells a side (EVA-02).
    case index(side: Int)
  }

  /// Which channels make a pair.
  public var form: RotaryForm
  /// What the longest wave length follows from.
  public var base: Double
  /// What a coordinate is.
  public var coordinates: Coordinates

  /// Cells a side of the grid that coordinates are scaled to; `nil` where they are not counted.
  var side: Int? {
    if case .index(let side) = coordinates { side } else { nil }
  }

  /// Creates settings.
  public init(form: RotaryForm, base: Double, coordinates: Coordinates) {
    self.form = form
    self.base = base
    self.coordinates = coordinates
  }

  /// As in DINOv3.
  public static let dinov3 = Rotary(form: .half, base: 100, coordinates: .normalized)
  /// As in EVA-02, whose models were made for a grid of 16 cells.
  public static let eva02 = Rotary(form: .interleaved, base: 10_000, coordinates: .index(side: 16))

  /// The angles of each cell's channels, (cells, d).
  ///
  /// - Parameters:
  ///   - grid: the cells that are left.
  ///   - cut: cells that were cut off each border since the image was cut into patches.
  ///   - headWidth: d, a multiple of 4.
  func angles(_ grid: Grid, cut: Int, headWidth: Int) -> [Double] {
    let (whole, frequencies) = (
      Grid(rows: grid.rows + 2 * cut, columns: grid.columns + 2 * cut), headWidth / 4
    )
    func angle(_ position: Int, _ count: Int, _ j: Int) -> Double {
      let period = pow(base, 4 * Double(j) / Double(headWidth))
      return switch coordinates {
      case .normalized: 2 * .pi * (2 * (Double(position) + 0.5) / Double(count) - 1) / period
      case .index(let side): Double(position) * Double(side) / Double(count) / period
      }
    }
    var angles: [Double] = []
    angles.reserveCapacity(grid.count * headWidth)
    for row in cut..<cut + grid.rows {
      for column in cut..<cut + grid.columns {
        let pairs =
          (0..<frequencies).map { angle(row, whole.rows, $0) }
          + (0..<frequencies).map { angle(column, whole.columns, $0) }
        switch form {
        case .half: angles += pairs + pairs
        case .interleaved: angles += pairs.flatMap { [$0, $0] }
        }
      }
    }
    return angles
  }
}
