/// What a file of weights shows of its backbone, read off names and shapes alone.
public struct BackboneReading: Sendable {
  /// Sizes and conventions.
  public let architecture: any Architecture
  /// Whose names the file has, such as `timm` or `huggingface-vit`.
  public let dialect: String
  /// What of the architecture is assumed: the file does not tell it, and nobody has said it.
  public let assumed: Set<BackboneFact>
  /// How the stored positions are brought to another image size.
  public let positionResampling: PositionResampling

  init(_ weights: CanonicalWeights, options: BackboneOptions) throws {
    let vit = try ViT(reading: weights, options: options)
    architecture = vit
    dialect = weights.dialect.name
    assumed = weights.heads == nil ? options.assumed : options.assumed.subtracting([.heads])
    let facts = weights.dialect.facts
    positionResampling =
      options.positionResampling
      ?? (vit.hasRelativePositions
        ? facts.relativeResampling ?? .geometric : facts.resampling ?? .bicubicAntialias)
  }
}
