/// What an image is between two blocks: tokens in front, then prompts, then the cells of a grid row by row.
public struct TokenLayout: Sendable, Hashable {
  /// Channels of a token.
  public var width: Int
  /// The cells.
  public var grid: Grid
  /// The backbone's own tokens in front: class, distillation and register tokens; 0 where there are none.
  public var prefix: Int
  /// Trained tokens behind those.
  public var prompts = 0
  /// Cells that were cut off each border since the image was cut into patches: positions keep the old frame.
  public var cut = 0

  /// Creates a layout without prompts.
  public init(width: Int, grid: Grid, prefix: Int) {
    self.width = width
    self.grid = grid
    self.prefix = prefix
  }

  /// Tokens in front of the cells.
  public var front: Int { prefix + prompts }

  /// All tokens.
  public var count: Int { front + grid.count }

  /// The layout after a change.
  func changed(by change: LayoutChange) -> TokenLayout {
    var layout = self
    switch change {
    case .none: break
    case .cut(let border):
      layout.grid.rows -= 2 * border
      layout.grid.columns -= 2 * border
      layout.cut += border
    case .prompts(let count): layout.prompts = count
    }
    return layout
  }
}

/// What a module in sequence does to the layout of the tokens.
public enum LayoutChange: Sendable, Hashable {
  /// Nothing.
  case none
  /// Cuts so many cells off each border.
  case cut(Int)
  /// Puts so many prompts in the place of those that stand there.
  case prompts(Int)
}
