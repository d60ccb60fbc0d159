import GraftOps

/// What a backbone makes of images, for search, clustering and nearest neighbours, and to compare it with other libraries.
public struct Features: Sendable {
  /// What is read.
  public enum Kind: Sendable, Hashable {
    /// One row an image: what the classification head reads.
    case pooled
    /// A row a token, tokens in front first, behind the last norm where that stands before the pooling.
    case tokens
    /// A row a token as it leaves so many blocks, 1 for the first.
    case block(Int)
  }

  /// (images, channels), or (images, tokens, channels).
  public let shape: [Int]
  /// Row-major.
  public let values: [Float]
}

extension Backbone {
  /// Features of a batch of images.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for a block that is not there or images of another size;
  ///   `RuntimeError` when the device fails or has no memory left.
  public func features(_ images: ImageBatch, _ kind: Features.Kind = .pooled) throws -> Features {
    try features(input(images), kind, classToken: nil, Pass(tape: Tape()))
  }

  /// The same with an adapter's modules.
  func features(_ input: Tensor, _ kind: Features.Kind, classToken: Tensor?, _ pass: Pass) throws -> Features
  {
    if case .block(let block) = kind, !(1...shape.depth).contains(block) {
      throw GraftError.badSetting(
        name: "block", value: "\(block)", reason: "the backbone has \(shape.depth), counted from 1.")
    }
    let embedded = try embed(input, classToken: classToken, pass)
    let result: Tensor
    switch kind {
    case .pooled: result = try feature(advance(embedded, through: 0..<shape.depth, keeping: kept, pass), pass)
    case .tokens: result = try normalized(advance(embedded, through: 0..<shape.depth, pass), pass).values
    case .block(let block): result = try advance(embedded, through: 0..<block, pass).values
    }
    return Features(shape: result.shape, values: try result.floats())
  }
}

extension GraftedModel {
  /// Features of a batch of images, adapter included; the last head reads the pooled ones.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for a block that is not there or images of another size;
  ///   `RuntimeError` when the device fails or has no memory left.
  public func features(_ images: ImageBatch, _ kind: Features.Kind = .pooled) throws -> Features {
    try requireWhole()
    return try backbone.features(backbone.input(images), kind, classToken: classToken, pass(on: Tape()))
  }
}
