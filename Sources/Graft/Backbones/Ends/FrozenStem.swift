import GraftOps
import GraftRuntime

/// What makes tokens of an image, on the device.
struct FrozenStem {
  private let patches: FrozenLayer
  /// The tokens in front; `nil` where there are none.
  private let prefix: Tensor?
  /// Those behind the class token; `nil` where there are none.
  private let others: Tensor?
  /// A row for each token, zero where it has no position.
  private let position: Tensor?
  private let norm: FrozenNorm?
  private let layout: TokenLayout

  init(
    _ shape: BackboneShape, resampling: PositionResampling, _ reader: inout WeightReader, on context: Context
  ) throws {
    let (stem, layout) = (shape.stem, shape.start)
    self.layout = layout
    patches = try reader.layer(stem.embedding)
    let tokens = try stem.prefix.map { try reader.values($0) }
    func stack(_ tokens: some Collection<[Float]>) throws -> Tensor? {
      let values = tokens.flatMap(\.self)
      return values.isEmpty
        ? nil : try Tensor(values, shape: [values.count / layout.width, layout.width], on: context)
    }
    prefix = try stack(tokens)
    others = try stack(tokens.dropFirst())
    position = try stem.position.map { position in
      let stored = try reader.values(position.table)
      let ends = position.front * layout.width
      let cells = PositionEmbedding.resample(
        Array(stored[ends...]), from: position.grid, to: layout.grid, dimension: layout.width,
        convention: resampling)
      let without = [Float](repeating: 0, count: (layout.prefix - position.front) * layout.width)
      return try Tensor(stored[..<ends] + without + cells, shape: [layout.count, layout.width], on: context)
    }
    norm = try stem.norm.map { try reader.norm($0) }
  }

  /// - Parameter classToken: a trained one in place of the backbone's.
  func callAsFunction(_ input: Tensor, classToken: Tensor?, _ pass: Pass) throws -> Tokens {
    let tape = pass.tape
    let batch = input.rows / layout.grid.count
    var tokens = try tape.reshape(
      pass.apply(patches, to: .rows(input)), to: [batch, layout.grid.count, layout.width])
    if let classToken {
      if let others { tokens = try tape.prependTokens(tokens, prefix: others, position: nil) }
      tokens = try tape.prependTokens(tokens, prefix: classToken, position: position)
    } else if prefix != nil || position != nil {
      tokens = try tape.prependTokens(tokens, prefix: prefix, position: position)
    }
    return Tokens(try pass.normalized(tokens, norm), layout)
  }
}
