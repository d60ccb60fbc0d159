/// What a file of weights shows of its backbone, read off names and shapes alone, and what the files beside it say.
public struct BackboneReading: Sendable {
  /// Sizes and conventions.
  public let architecture: any Architecture
  /// Whose names the file has, such as `timm` or `huggingface-vit`.
  public let dialect: String
  /// Who says each of the facts that there are of this backbone.
  public let origins: [BackboneFact: FactOrigin]
  /// How the stored positions are brought to another image size.
  public let positionResampling: PositionResampling
  /// How pictures are prepared, where a file beside the weights says so.
  public let preprocessing: Preprocessing?
  /// Why a file beside the weights, or an entry of it, is not used.
  public let notes: [String]

  /// What of the architecture is assumed: neither the weights nor the files beside them tell it, and nobody has said it.
  public var assumed: Set<BackboneFact> {
    Set(origins.filter { $0.key.isEssential && $0.value.isAssumed }.keys)
  }

  /// What is computed with, as the command's options spell it.
  public func value(of fact: BackboneFact) -> JSONValue {
    fact == .positionResampling ? .string(positionResampling.rawValue) : architecture.value(of: fact)
  }

  init(_ weights: CanonicalWeights, options: BackboneOptions) throws {
    let files = ConfigurationFiles(beside: weights)
    var notes = files.notes
    var sayings = [options]
    if let name = options.architecture {
      sayings.append(try BackboneOptions(facts: BackboneCatalog.named(name), origin: .name))
    }
    sayings += RecordedFacts.sayings(in: weights.file, &notes)
    sayings += files.sayings
    let said = sayings.reversed().reduce(BackboneOptions()) { $0.replacing(by: $1) }
    let vit = try ViT(reading: weights, options: said)
    let told = vit.told(by: weights)
    func origin(_ fact: BackboneFact) -> FactOrigin {
      if options.presumed.contains(fact), !told.contains(fact) { return .usual }
      if let saying = sayings.first(where: { $0.says(fact) }) { return saying.origin }
      return told.contains(fact) ? .tensors : weights.dialect.facts.says(fact, of: vit) ? .dialect : .usual
    }
    let facts = BackboneFact.allCases.filter {
      $0 == .positionResampling
        ? vit.positions != .none || vit.hasRelativePositions : vit.value(of: $0) != .null
    }
    origins = Dictionary(uniqueKeysWithValues: facts.map { ($0, origin($0)) })
    architecture = vit
    dialect = weights.dialect.name
    positionResampling =
      said.positionResampling ?? weights.dialect.facts.resampling(of: vit)
      ?? (vit.hasRelativePositions ? .geometric : .bicubicAntialias)
    preprocessing = files.preprocessing
    self.notes = notes
  }
}

extension ViT {
  /// The facts that the tensors tell after all.
  fileprivate func told(by weights: CanonicalWeights) -> Set<BackboneFact> {
    var facts: Set<BackboneFact> = []
    if weights.heads != nil { facts.insert(.heads) }
    if isGated { facts.insert(.activation) }
    if !hasClassToken || poolsFirst || pooling == .attention { facts.insert(.pooling) }
    return facts
  }
}

extension Dialect.Facts {
  /// How the library brings a model's positions to another size.
  fileprivate func resampling(of vit: ViT) -> PositionResampling? {
    vit.hasRelativePositions ? relativeResampling : resampling
  }

  fileprivate func says(_ fact: BackboneFact, of vit: ViT) -> Bool {
    switch fact {
    case .epsilon: epsilon != nil
    case .activation: activation != nil
    case .pooling: pooling != nil
    case .normalization: normalization != nil
    case .positionResampling: resampling(of: vit) != nil
    case .heads, .rotationBase, .rotationSide: false
    }
  }
}
