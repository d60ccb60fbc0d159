/// The mean and spread that a backbone's images were normalised with when it was pre-trained.
///
/// A pixel's channel `v` (0 to 255) reaches the backbone as `(v / 255 - mean) / std`. The device does this, so
/// that batches stay 8-bit on their way to it.
public struct Normalization: Codable, Sendable, Hashable {
  /// Mean of red, green and blue, where white is 1.
  public let mean: [Float]
  /// Standard deviation of red, green and blue, where white is 1; never zero.
  public let std: [Float]

  /// ImageNet's statistics: DINOv2, DeiT and most convolutional backbones.
  public static let imageNet = Normalization(mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225])
  /// One half and one half, so that pixels span -1 to 1: the AugReg ViTs and Mixers of timm.
  public static let half = Normalization(mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
  /// The statistics of OpenAI's CLIP.
  public static let clip = Normalization(
    mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711])

  /// Pixels from 0 to 1.
  static let unit = Normalization(mean: [0, 0, 0], std: [1, 1, 1])
  /// The statistics of the satellite pictures of DINOv3.
  static let satellite = Normalization(mean: [0.43, 0.411, 0.296], std: [0.213, 0.156, 0.143])

  /// Creates a normalisation from three means and three standard deviations above zero.
  public init(mean: [Float], std: [Float]) {
    precondition(Self.isUsable(mean: mean, std: std), "three finite means and three deviations above zero")
    self.mean = mean
    self.std = std
  }

  /// Reads a normalisation, and refuses one that is not three means and three deviations above zero.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let mean = try container.decode([Float].self, forKey: .mean)
    let std = try container.decode([Float].self, forKey: .std)
    guard Self.isUsable(mean: mean, std: std) else {
      throw DecodingError.dataCorruptedError(
        forKey: .std, in: container,
        debugDescription: "expected three finite means and three standard deviations above zero")
    }
    self.init(mean: mean, std: std)
  }

  private enum CodingKeys: String, CodingKey {
    case mean
    case std
  }

  private static func isUsable(mean: [Float], std: [Float]) -> Bool {
    mean.count == 3 && std.count == 3 && mean.allSatisfy(\.isFinite)
      && std.allSatisfy { $0.isFinite && $0 > 0 }
  }
}
