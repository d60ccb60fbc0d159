package import GraftRuntime

/// Which channels of a head a rotary position turns together.
public enum RotaryForm: String, Codable, Sendable, CaseIterable {
  /// Channel i with i + dh / 2, as DINOv3 pairs them.
  case half
  /// Channel 2 i with 2 i + 1, as EVA-02 does.
  case interleaved

  /// The channel that `channel` of a head is paired with.
  func partner(of channel: Int, headSize: Int) -> Int {
    switch self {
    case .half: (channel + headSize / 2) % headSize
    case .interleaved: channel ^ 1
    }
  }

  /// True where `channel` comes first in its pair.
  func isFirst(_ channel: Int, headSize: Int) -> Bool { channel < partner(of: channel, headSize: headSize) }
}

/// The angles of a token grid's cells, as cosines and sines, frozen on the device.
package final class RotaryTable {
  /// Which channels are paired.
  package let form: RotaryForm
  /// Number of cells.
  package let cells: Int
  /// Width of a head.
  package let headSize: Int
  fileprivate let cosines: Tensor
  /// With the sign that each channel's partner enters with.
  fileprivate let sines: Tensor

  /// - Parameters:
  ///   - cosines: (cells, dh), row-major: cos of each channel's angle, the same for both of a pair.
  ///   - sines: likewise; the rotation's sign is the form's business.
  ///   - headSize: dh, even.
  /// - Throws: `RuntimeError` when the device has no memory left.
  package init(
    cosines: [Float], sines: [Float], headSize: Int, form: RotaryForm, on context: Context
  ) throws {
    precondition(headSize > 0 && headSize % 2 == 0, "channels come in pairs")
    precondition(cosines.count == sines.count && cosines.count % headSize == 0, "(cells, dh) each")
    self.form = form
    self.headSize = headSize
    cells = cosines.count / headSize
    let signed = sines.indices.map {
      form.isFirst($0 % headSize, headSize: headSize) ? -sines[$0] : sines[$0]
    }
    self.cosines = try Tensor(cosines, shape: [cells, headSize], on: context)
    self.sines = try Tensor(signed, shape: [cells, headSize], on: context)
  }
}

extension Tape {
  /// Rotary positions: turns the queries and keys of a token grid's cells.
  ///
  /// A pair (a, b) of a head's channels becomes `(a cos - b sin, b cos + a sin)`. Values and the tokens ahead of the grid
  /// stay as they are. The gradient is the rotation by the negative angle and keeps the table alone.
  ///
  /// - Parameters:
  ///   - qkv: (B, F + cells, 3 D): queries, keys and values, each of `heads` heads one after another.
  ///   - angles: of the cells.
  ///   - front: F, tokens ahead of the grid.
  ///   - heads: number of heads, each as wide as the table says.
  /// - Returns: (B, F + cells, 3 D).
  /// - Throws: `RuntimeError` when the device fails.
  package func rotate(_ qkv: Tensor, angles: RotaryTable, front: Int, heads: Int) throws -> Tensor {
    precondition(qkv.shape.count == 3 && qkv.width == 3 * heads * angles.headSize, "(B, N, 3 heads dh)")
    precondition(front >= 0 && qkv.shape[1] == front + angles.cells, "one angle a cell")
    let rotation = Rotation(angles: angles, tokens: qkv.shape[1], front: front, heads: heads)
    let output = try rotation(qkv)
    guard needsGradient(qkv) else { return output }
    record(output) { [qkv = qkv.gradientKey] gradient, gradients in
      try gradients.accumulate(into: qkv) { try rotation(gradient, isBackward: true, addingTo: $0) }
    }
    return output
  }
}

/// The kernel behind rotary positions, in both directions.
private struct Rotation {
  let angles: RotaryTable
  let tokens: Int
  let front: Int
  let heads: Int

  func callAsFunction(
    _ x: Tensor, isBackward: Bool = false, addingTo sum: Tensor? = nil
  ) throws -> Tensor {
    let context = x.context
    let output = try Tensor(empty: x.shape, on: context)
    let plan = RowPlan(rows: x.rows, width: x.width, on: context)
    // Halves are read in whole vectors, and so must be made of them.
    let run = angles.form == .half ? angles.headSize / 2 : angles.headSize
    var macros = plan.macros + ChannelPlan(channels: run, on: context).macros
    macros.append(.init("HEAD", angles.headSize))
    if angles.form == .interleaved { macros.append(.init("INTERLEAVED", 1)) }
    if isBackward { macros.append(.init("BACKWARD", 1)) }
    if sum != nil { macros.append(.init("ADD", 1)) }
    try context.run(
      KernelKey("rotary", "turn_pairs", macros: macros), over: plan.global, group: plan.group, x.buffer,
      angles.cosines.buffer, angles.sines.buffer, (sum ?? x).buffer, output.buffer, tokens, front, heads,
      x.rows, plan.perGroup)
    return output
  }
}
