public import GraftOps
import GraftSystem

/// What a checkpoint's tensors cannot tell.
///
/// What is left `nil` is taken from `config.json` and `preprocessor_config.json` beside the weights, as timm and transformers
/// write them, or else from an architecture's name, or else it is what the library computes with whose names the weights have,
/// or else what is usual; ``BackboneReading/origins`` says which.
public struct BackboneOptions: Sendable, Hashable {
  /// Size of the images to prepare for; by default the size of the stored position embedding.
  public var imageSize: ImageSize?
  /// Attention heads; by default those of timm's models of this width, or else 64 channels each.
  public var heads: Int?
  /// Added to the variance in layer normalisation; by default 1e-6, as in timm.
  public var epsilon: Float?
  /// What pixels are scaled by; by default ImageNet's figures for DINOv2 and one half otherwise, as in timm.
  public var normalization: Normalization?
  /// What stands between the two layers of an MLP.
  public var activation: Activation?
  /// How tokens become the feature.
  public var pooling: End.Pooling?
  /// What the longest wave length of rotary positions follows from.
  public var rotationBase: Double?
  /// Cells a side of the grid that rotary positions were made for, where they count cells.
  public var rotationSide: Int?
  /// How the stored positions are brought to another image size.
  ///
  /// By default as the library does whose names the weights have.
  public var positionResampling: PositionResampling?
  /// timm's name of the architecture, perhaps with the tag of its weights, which stands for all that is `nil` here.
  public var architecture: String?
  /// Those of the values above that nobody has said, though they are given: a recipe's, or an earlier run's guess.
  public var presumed: Set<BackboneFact> = []

  /// Who says the values above.
  var origin = FactOrigin.flag
  /// Side of the images that the weights were trained on, where no table of positions tells it.
  var trainedSize: Int?

  /// Creates options.
  public init(
    imageSize: ImageSize? = nil, heads: Int? = nil, epsilon: Float? = nil,
    normalization: Normalization? = nil,
    activation: Activation? = nil, pooling: End.Pooling? = nil,
    positionResampling: PositionResampling? = nil
  ) {
    self.imageSize = imageSize
    self.heads = heads
    self.epsilon = epsilon
    self.normalization = normalization
    self.activation = activation
    self.pooling = pooling
    self.positionResampling = positionResampling
  }

  /// What an architecture computes with, and nothing of sizes.
  init(facts architecture: any Architecture, origin: FactOrigin) throws {
    self.init()
    self.origin = origin
    for fact in BackboneFact.allCases where architecture.value(of: fact) != .null {
      try set(fact, to: architecture.value(of: fact))
    }
  }

  /// These options, but for what others say about a file.
  func replacing(by others: BackboneOptions) -> BackboneOptions {
    var options = self
    options.imageSize = others.imageSize ?? imageSize
    options.heads = others.heads ?? heads
    options.epsilon = others.epsilon ?? epsilon
    options.normalization = others.normalization ?? normalization
    options.activation = others.activation ?? activation
    options.pooling = others.pooling ?? pooling
    options.rotationBase = others.rotationBase ?? rotationBase
    options.rotationSide = others.rotationSide ?? rotationSide
    options.positionResampling = others.positionResampling ?? positionResampling
    options.architecture = others.architecture ?? architecture
    options.trainedSize = others.trainedSize ?? trainedSize
    return options
  }
}

extension BackboneOptions {
  /// Whether they say a fact.
  func says(_ fact: BackboneFact) -> Bool {
    switch fact {
    case .heads: heads != nil
    case .epsilon: epsilon != nil
    case .normalization: normalization != nil
    case .activation: activation != nil
    case .pooling: pooling != nil
    case .rotationBase: rotationBase != nil
    case .rotationSide: rotationSide != nil
    case .positionResampling: positionResampling != nil
    }
  }

  /// Says a fact, in the words of files and of the command line.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for what the fact cannot be.
  public mutating func set(_ fact: BackboneFact, to value: JSONValue) throws {
    func refused(_ reason: String) -> GraftError {
      .badSetting(name: fact.rawValue, value: value.stringValue ?? value.text, reason: reason)
    }
    func named<Value>(_ make: (String) -> Value?, _ known: [String]) throws -> Value {
      guard let value = value.stringValue.flatMap(make) else {
        throw refused("it is one of \(known.joined(separator: ", ")).")
      }
      return value
    }
    func count(_ limit: Int) throws -> Int {
      guard let number = value.intValue, (1...limit).contains(number) else {
        throw refused("it is a whole number in 1...\(limit).")
      }
      return number
    }
    switch fact {
    case .heads: heads = try count(1 << 16)
    case .epsilon:
      guard let number = value.doubleValue.map(Float.init), number.isFinite, number >= 0, number < 1 else {
        throw refused("it is a number from 0 to below 1, such as 1e-6.")
      }
      epsilon = number
    case .normalization:
      if value.objectValue != nil, let own = try? value.decoded(as: Normalization.self) {
        normalization = own
      } else {
        normalization = try named(
          Normalization.init(named:),
          [
            "imagenet", "half", "clip",
            #"{"mean": [R, G, B], "std": [R, G, B]} with three deviations above 0"#,
          ])
      }
    case .activation:
      activation = try named(
        Activation.init(named:), ["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"])
    case .pooling: pooling = try named(End.Pooling.init, End.Pooling.allCases.map(\.rawValue))
    case .rotationBase:
      guard let number = value.doubleValue, number.isFinite, number > 1 else {
        throw refused("it is a number above 1, such as 10000.")
      }
      rotationBase = number
    case .rotationSide: rotationSide = try count(1 << 14)
    case .positionResampling:
      positionResampling = try named(
        PositionResampling.init, PositionResampling.allCases.map(\.rawValue))
    }
  }

  /// Says what a name stands for.
  ///
  /// - Parameters:
  ///   - name: A ``BackboneFact``'s, or `architecture`.
  ///   - text: JSON, or a word.
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for what there is not, or cannot be that.
  public mutating func set(_ name: String, to text: String) throws {
    if name == "architecture" {
      _ = try BackboneCatalog.named(text)
      architecture = text
      return
    }
    guard let fact = BackboneFact(rawValue: name) else {
      let known = ["architecture"] + BackboneFact.allCases.map(\.rawValue)
      throw GraftError.badSetting(
        name: name, value: text,
        reason: "what can be said of a backbone is: \(known.joined(separator: ", ")).")
    }
    try set(fact, to: (try? JSON.value(JSONValue.self, of: text)) ?? .string(text))
  }

  /// What entries such as `backbone_heads` in the settings of an adapter's folder say.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for what a fact cannot be.
  init(settings: [String: JSONValue]) throws {
    self.init()
    origin = .adapter
    for fact in BackboneFact.allCases {
      guard let value = settings[fact.setting], value != .null else { continue }
      try set(fact, to: value)
    }
  }
}

extension BackboneFact {
  /// The name in the settings of an adapter's folder.
  var setting: String { "backbone_\(rawValue)" }
}
