import GraftOps
import GraftRuntime
import GraftSystem

/// The cosines and sines that turn queries and keys, made for each grid that comes by; all blocks share them.
final class RotaryPosition {
  private let rotation: Rotary
  private let headWidth: Int
  private let context: Context
  private var made: [Key: RotaryTable] = [:]

  private struct Key: Hashable {
    let grid: Grid
    let cut: Int
  }

  init(_ rotation: Rotary, headWidth: Int, on context: Context) {
    self.rotation = rotation
    self.headWidth = headWidth
    self.context = context
  }

  func table(of layout: TokenLayout) throws -> RotaryTable {
    let key = Key(grid: layout.grid, cut: layout.cut)
    if let table = made[key] { return table }
    let angles = rotation.angles(layout.grid, cut: layout.cut, headWidth: headWidth)
    let table = try RotaryTable(
      cosines: angles.map { Float(cos($0)) }, sines: angles.map { Float(sin($0)) }, headSize: headWidth,
      form: rotation.form, on: context)
    made[key] = table
    return table
  }
}
