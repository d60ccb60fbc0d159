import GraftOps
import GraftRuntime

/// A part of a block on the device.
struct FrozenPart {
  let id: Part.ID
  /// 0 in the first block, 1 in the last.
  let depthFraction: Float
  /// The norm in front.
  let norm: FrozenNorm
  /// Reads what stands before the part.
  let first: FrozenLayer
  /// Gives what the part adds.
  let last: FrozenLayer
  /// What happens between the two.
  let body: any PartBody
  /// Stands before the last layer, where there is one.
  let innerNorm: FrozenNorm?

  /// What the parts of a backbone share.
  final class Shared {
    let context: Context
    /// Of tables of relative positions.
    let resampling: PositionResampling
    private var rotary: [Rotary: RotaryPosition] = [:]
    private let width: Int

    init(_ shape: BackboneShape, resampling: PositionResampling, on context: Context) {
      self.context = context
      self.resampling = resampling
      width = shape.start.width
    }

    func rotary(_ rotation: Rotary, heads: Int) -> RotaryPosition {
      if let known = rotary[rotation] { return known }
      let position = RotaryPosition(rotation, headWidth: width / heads, on: context)
      rotary[rotation] = position
      return position
    }
  }

  init(_ part: Part, depth: Int, _ shared: Shared, _ reader: inout WeightReader) throws {
    guard let norm = part.norm else { preconditionFailure("\(part.id) has no norm") }
    id = part.id
    depthFraction = Float(part.id.block) / Float(max(depth - 1, 1))
    self.norm = try reader.norm(norm)
    first = try reader.layer(part.first)
    last = try reader.layer(part.last, scaledBy: part.layerScale)
    body =
      switch part.body {
      case .attention(let attention): try FullAttention(attention, shared, &reader)
      case .mlp(let activation, let isGated): ChannelMLP(activation: activation, isGated: isGated)
      }
    innerNorm = try part.innerNorm.map { try reader.norm($0) }
  }

  /// The stream with what the part adds to it.
  ///
  /// - Parameter kept: what is read of the result.
  func callAsFunction(_ stream: Tokens, keeping kept: KeptTokens, _ pass: Pass) throws -> Tokens {
    var stream = stream
    // What stands beside the part reads behind the norm, as the part does.
    var known = pass.sites.isTaken(.beside(id)) ? try pass.reading(stream, behind: norm) : nil
    let hidden = try body(stream, known: known, keeping: kept, self, pass)
    if case .first(let count) = kept {
      stream = try stream.first(count, on: pass.tape)
      known = try known?.first(count, on: pass.tape)
    }
    return try pass.leave(self, hidden, known: known, stream: stream)
  }
}

/// What a part computes between its norm and its last layer.
protocol PartBody {
  /// - Parameters:
  ///   - stream: the residual stream.
  ///   - known: the stream behind the norm, where somebody else reads that too.
  ///   - kept: what is read of the result.
  /// - Returns: what the last layer reads.
  func callAsFunction(
    _ stream: Tokens, known: Reading?, keeping kept: KeptTokens, _ part: FrozenPart, _ pass: Pass
  ) throws -> Tensor
}

/// What is read of the tokens that leave a block.
enum KeptTokens: Equatable {
  /// All of them.
  case all
  /// So many from the first.
  case first(Int)
}
