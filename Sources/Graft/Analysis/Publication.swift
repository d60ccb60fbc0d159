/// Where an adapter was published.
public struct Publication: Sendable, Hashable {
  /// The paper's number on arXiv, such as `2409.11051`.
  public let arXiv: String

  /// The paper's page.
  public var address: String { "https://arxiv.org/abs/\(arXiv)" }

  /// The paper behind an adapter of ``AdapterCatalog``; `nil` where there is none, as for the linear probe.
  public init?(adapter: String) {
    guard let number = Self.numbers[adapter] else { return nil }
    arXiv = number
  }

  private static let numbers = [
    "bitfit": "2106.10199",  // BitFit
    "houlsby": "1902.00751",  // Parameter-efficient transfer learning for NLP
    "adapter": "2206.04673",  // the baseline of Neural prompt search (NOAH)
    "adaptformer": "2205.13535",  // AdaptFormer
    "lora": "2106.09685",  // LoRA
    "vpt-shallow": "2203.12119", "vpt-deep": "2203.12119",  // Visual prompt tuning
    "ssf": "2210.08823",  // Scaling and shifting your features
    "repadapter": "2302.08106",  // Structural re-parameterisation
    "fact-tt": "2212.03145", "fact-tk": "2212.03145",  // FacT
    "convpass": "2207.07039",  // Convolutional bypasses
    "ila": "2409.11051", "ila+": "2409.11051", "ila++": "2409.11051",  // Down-sampling inter-layer adapter
    "alore": "2412.08341",  // Aggregating low rank experts
    "dyn": "2407.14302",  // Dyn-Adapter
  ]
}
