/// Parts that follow one another on the residual stream.
public struct Block: Sendable, Hashable {
  /// Its number, from 0.
  public let index: Int
  /// Its parts, in the order in which they run.
  public let parts: [Part]

  var operations: [FrozenOperation] { parts.flatMap(\.all) }

  /// Multiply-accumulates of an image.
  func macs(of layout: TokenLayout) -> Int { parts.reduce(0) { $0 + $1.macs(of: layout) } }

  /// Multiply-accumulates that are spared where only `kept` tokens are read of what leaves the block, and nothing behind
  /// its first part mixes tokens: keys and values are still needed of all.
  func unreadMACs(of layout: TokenLayout, keeping kept: Int) -> Int {
    guard parts.dropFirst().allSatisfy(\.isTokenwise) else { return 0 }
    let (all, products) = (layout.count, parts.flatMap(\.operations).dropFirst())
    let spared =
      parts.reduce(0) { $0 + $1.mixingMACs(of: layout) } + products.reduce(0) { $0 + $1.macs(of: layout) }
    return spared / all * (all - kept)
  }
}
