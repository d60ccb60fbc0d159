/// Figures that papers print about adapters on ViT-B/16, beside what Graft's own plans give.
///
/// Nothing is run and no figure of ours is stored: each is computed from the adapter's plan. Methods that are not in
/// ``AdapterCatalog`` are listed without a computed figure.
public struct PublishedFigure: Codable, Sendable, Equatable {
  /// What is counted.
  public enum Quantity: String, Codable, Sendable, CaseIterable {
    /// Millions of scalars that the adapter trains, without head and class token.
    case adapterParameters = "adapter_parameters"
    /// Millions of scalars trained for the ILA paper's five tasks, heads and class token included: five times the mean
    /// over its ten data sets (arXiv 2409.11051, table of results).
    case totalTrainableParameters = "total_trainable_parameters"
    /// 10^9 multiply-accumulates an image; the literature calls them GFLOPs.
    case gmac
  }

  /// The method's name in the paper.
  public let method: String
  /// The adapter's name in the catalogue, and the settings that make it the paper's.
  public let adapter: String
  /// Settings that differ from the adapter's defaults.
  public let settings: [String: JSONValue]
  /// What is counted.
  public let quantity: Quantity
  /// Height and width of the images, in pixels.
  public let imageSize: ImageSize
  /// The figure as it is printed, such as `0.15`; `nil` where the paper gives none.
  public let published: String?
  /// Where it is printed.
  public let source: String
  /// What keeps the two from being equal, where that is known.
  public let note: String?
  /// The figure of Graft's plan in the same unit; `nil` while the adapter is not in the catalogue.
  public let computed: Double?
  /// The exact count behind ``computed``, where it is one.
  public let count: Int?

  /// Whether the computed figure rounds to the published one; `nil` where one of the two is missing.
  public var agrees: Bool? {
    guard let computed, let published, let value = Double(published) else { return nil }
    let decimals = published.split(separator: ".").dropFirst().first?.count ?? 0
    let unit = (0..<decimals).reduce(1.0) { value, _ in value / 10 }
    return abs(computed - value) <= unit / 2 * 1.000_001
  }

  enum CodingKeys: String, CodingKey {
    case method, adapter, settings, quantity, published, source, note, computed, count
    case imageSize = "image_size"
  }
}

extension PublishedFigure {
  /// The ten ultra-fine-grained data sets of arXiv 2409.11051 and their numbers of classes.
  public static let tenDatasets: [(name: String, classes: Int)] = [
    ("Cotton", 80), ("SoyAgeing", 198), ("SoyAgeing R1", 198), ("SoyAgeing R3", 198), ("SoyAgeing R4", 198),
    ("SoyAgeing R5", 198), ("SoyAgeing R6", 198), ("SoyGene", 1110), ("SoyGlobal", 1938), ("SoyLocal", 200),
  ]

  /// All figures that the catalogue can reproduce, or will once the adapter is there.
  ///
  /// - Throws: ``GraftError`` when an adapter lacks a setting that is named here.
  public static func all() throws -> [PublishedFigure] { try claims.map { try $0.figure() } }

  private static let claims = totals + parameters + operations

  private static let totals: [Claim] = [
    .total("head only", "linear", "1.7"),
    .total("VPT-shallow", "vpt-shallow", "2.1"),
    .total("VPT-deep", "vpt-deep", "6.3"),
    .total("parallel adapters", "ila++", settings: ["locations": []], "3.3"),
    .total("Convpass", "convpass", "3.4"),
    .total("ILA", "ila", nil),
    .total("ILA+", "ila+", "2.6"),
    .total("ILA++", "ila++", "3.5"),
  ]

  private static let parameters: [Claim] = [
    .parameters("linear probe", "linear", "0", in: benchmark),
    .parameters("BitFit", "bitfit", "0.10", in: benchmark),
    .parameters("Adapter", "adapter", "0.16", in: benchmark),
    .parameters("Adapter, both places", "houlsby", nil, in: "arXiv 1902.00751"),
    .parameters("AdaptFormer-8", "adaptformer", "0.16", in: benchmark),
    .parameters(
      "AdaptFormer-64", "adaptformer", settings: ["bottleneck": 64], "1.19", in: "arXiv 2205.13535"),
    .parameters("LoRA, rank 8", "lora", "0.29", in: benchmark),
    .parameters("VPT-shallow, 100 prompts", "vpt-shallow", "0.08", in: benchmark),
    .parameters(
      "VPT-deep, 100 prompts", "vpt-deep", "0.56", in: benchmark,
      note: "a mean over tasks, each with its own number of prompts"),
    .parameters("SSF", "ssf", "0.21", in: benchmark),
    .parameters(
      "RepAdapter", "repadapter", "0.22", in: "arXiv 2302.08106",
      note: "0.22 leaves out the biases (18,624), which the official code trains"),
    .parameters(
      "FacT-TT, rank 16", "fact-tt", "0.07", in: "arXiv 2212.03145",
      note: "the official code takes ranks 8, 16 and 32"),
    .parameters(
      "FacT-TK, rank 32", "fact-tk", "0.07", in: "arXiv 2212.03145",
      note: "the official code takes ranks 8, 16 and 32"),
    .parameters("Convpass", "convpass", "0.33", in: "arXiv 2207.07039"),
    .parameters("ALoRE", "alore", "0.15", in: "arXiv 2412.08341"),
    .parameters("ILA", "ila", nil, in: "arXiv 2409.11051"),
    .parameters("ILA+", "ila+", nil, in: "arXiv 2409.11051"),
    .parameters("ILA++", "ila++", nil, in: "arXiv 2409.11051"),
  ]

  private static let operations: [Claim] = [
    .gmac("ViT-B/16", "linear", "17.6", at: 224, in: "arXiv 2010.11929 and after"),
    .gmac("ViT-B/16", "linear", "78.5", at: 448),
    .gmac("ILA", "ila", "13.1", at: 224),
    .gmac("ILA", "ila", "67", at: 448),
    .gmac("ILA+", "ila+", "13.1", at: 224),
    .gmac("ILA+", "ila+", "67", at: 448),
    .gmac("ILA++", "ila++", "13.1", at: 224),
    .gmac("ILA++", "ila++", "67", at: 448),
    .gmac("VPT-deep, 100 prompts", "vpt-deep", "27", at: 224),
    .gmac("VPT-deep, 100 prompts", "vpt-deep", "90", at: 448),
  ]

  private static let benchmark = "V-PETL Bench"
}

/// A figure before ours is computed.
private struct Claim {
  var method: String
  var adapter: String
  var settings: [String: JSONValue]
  var quantity: PublishedFigure.Quantity
  var imageSize: ImageSize = 224
  var published: String?
  var source: String
  var note: String?

  private static let ila = "arXiv 2409.11051"

  static func total(
    _ method: String, _ adapter: String, settings: [String: JSONValue] = [:], _ published: String?
  ) -> Claim {
    Claim(
      method: method, adapter: adapter, settings: settings, quantity: .totalTrainableParameters,
      imageSize: 448, published: published, source: ila)
  }

  static func parameters(
    _ method: String, _ adapter: String, settings: [String: JSONValue] = [:], _ published: String?,
    in source: String = "", note: String? = nil
  ) -> Claim {
    Claim(
      method: method, adapter: adapter, settings: settings, quantity: .adapterParameters,
      published: published, source: source, note: note)
  }

  static func gmac(
    _ method: String, _ adapter: String, _ published: String, at imageSize: ImageSize,
    in source: String = "\(ila), read off its plot"
  ) -> Claim {
    Claim(
      method: method, adapter: adapter, settings: [:], quantity: .gmac, imageSize: imageSize,
      published: published, source: source)
  }

  func figure() throws -> PublishedFigure {
    let (computed, count) = try computed()
    return PublishedFigure(
      method: method, adapter: adapter, settings: settings, quantity: quantity, imageSize: imageSize,
      published: published, source: source, note: note, computed: computed, count: count)
  }

  private func computed() throws -> (Double?, Int?) {
    guard AdapterCatalog.names.contains(adapter) else { return (nil, nil) }
    let shape = try BackboneShape(named: "vit_base_patch16_224", imageSize: imageSize)
    let adapter = try settings.reduce(AdapterCatalog.named(adapter)) {
      try AdapterCatalog.setting($1.key, to: $1.value.text, of: $0)
    }
    func summary(_ classes: Int) throws -> ModelSummary {
      try ModelSummary(shape, adapter: adapter, classes: classes)
    }
    switch quantity {
    case .adapterParameters:
      let count = try summary(0).adapterParameters
      return (Double(count) / 1e6, count)
    case .totalTrainableParameters:
      // The paper's code trains the class token with every method.
      let counts = try PublishedFigure.tenDatasets.map {
        let summary = try summary($0.classes)
        return summary.adapterParameters + summary.headParameters + shape.featureWidth
      }
      return (5 * Double(counts.reduce(0, +)) / Double(counts.count) / 1e6, nil)
    case .gmac:
      return (try summary(0).gmac, nil)
    }
  }
}
