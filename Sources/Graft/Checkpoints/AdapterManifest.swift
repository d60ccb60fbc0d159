/// What `adapter_config.json` says: which adapter this is, the backbone it belongs to, and how to feed it
/// images.
///
/// The adapter alone knows what `settings` means, and the image pipeline what `transform` means; here they
/// are carried without a look inside.
public struct AdapterManifest: Codable, Equatable, Sendable {
  /// The formats that this version reads and writes.
  ///
  /// The second says what the first cannot: images that are not square, and backbones other than a plain ViT in timm's
  /// names. Whatever the first can say is written as the first, which earlier versions read.
  public static let supportedFormatVersions = 1...2

  /// The kind of adapter in the PEFT library's style: upper case, such as `"ILA"`, `"ALORE"`, `"LINEAR"`.
  public var peftType: String
  /// The adapter's name on the command line, such as `"ila++"`.
  public var adapter: String
  /// The adapter's own settings.
  public var settings: [String: JSONValue]
  /// The backbone that the adapter was trained on.
  public var backbone: Backbone
  /// The names of the classes, in the order of the head's outputs; each once.
  public var classes: [String]
  /// How pixels in 0...1 become the backbone's input.
  public var normalization: Normalization
  /// How images were resized and cropped.
  public var transform: JSONValue
  /// Where images may leave a model with early exits; nil where nothing was calibrated.
  public var exitCalibration: ExitCalibration?
  /// The version of Graft that wrote the file, for people.
  public var graftVersion: String
  /// The version of this file's format.
  public var formatVersion: Int

  /// What identifies a backbone.
  public struct Backbone: Codable, Equatable, Sendable {
    /// timm's name of the architecture, such as `"vit_small_patch14_dinov2"`.
    public var architecture: String
    /// The ``TensorFile/contentHash`` of its file.
    public var contentHash: String
    /// Length of a token.
    public var width: Int
    /// Number of blocks.
    public var depth: Int
    /// Size of the images that the adapter was trained on, in pixels.
    public var imageSize: ImageSize
    /// Side of a patch, in pixels.
    public var patchSize: Int

    /// The family's name, such as `vit`; only in the second format, as the two below.
    public var family: String?
    /// The family's own settings.
    public var settings: JSONValue?
    /// Whose names the file has.
    public var dialect: String?

    /// Creates a backbone's identity as the first format has it.
    public init(
      architecture: String, contentHash: String, width: Int, depth: Int, imageSize: ImageSize, patchSize: Int
    ) {
      self.architecture = architecture
      self.contentHash = contentHash
      self.width = width
      self.depth = depth
      self.imageSize = imageSize
      self.patchSize = patchSize
    }

    private enum CodingKeys: String, CodingKey {
      case architecture
      case contentHash = "content_hash"
      case width, depth
      case imageSize = "image_size"
      case patchSize = "patch_size"
      case family, settings, dialect
    }
  }

  /// Creates a manifest of the first format.
  public init(
    peftType: String, adapter: String, settings: [String: JSONValue], backbone: Backbone, classes: [String],
    normalization: Normalization, transform: JSONValue, exitCalibration: ExitCalibration? = nil,
    graftVersion: String
  ) {
    self.peftType = peftType
    self.adapter = adapter
    self.settings = settings
    self.backbone = backbone
    self.classes = classes
    self.normalization = normalization
    self.transform = transform
    self.exitCalibration = exitCalibration
    self.graftVersion = graftVersion
    formatVersion = Self.supportedFormatVersions.lowerBound
  }

  private enum CodingKeys: String, CodingKey {
    case peftType = "peft_type"
    case adapter, settings, backbone, classes, normalization, transform
    case exitCalibration = "exit_calibration"
    case graftVersion = "graft_version"
    case formatVersion = "format_version"
  }

  /// The first rule that the values break; nil where all hold.
  var fault: String? {
    if peftType.isEmpty || adapter.isEmpty { return "peft_type or adapter is empty" }
    if classes.isEmpty { return "classes is empty" }
    if Set(classes).count != classes.count { return "a class is named twice" }
    let sizes = [
      ("width", backbone.width, 1 << 16), ("depth", backbone.depth, 1 << 12),
      ("image_size", backbone.imageSize.height, 1 << 16), ("image_size", backbone.imageSize.width, 1 << 16),
      ("patch_size", backbone.patchSize, min(backbone.imageSize.height, backbone.imageSize.width)),
    ]
    for (name, value, limit) in sizes where !(1...max(1, limit)).contains(value) {
      return "backbone.\(name) is \(value), which is not in 1...\(limit)"
    }
    let isHash =
      backbone.contentHash.utf8.count == 64
      && backbone.contentHash.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    if !isHash { return "backbone.content_hash is not 64 lower-case hexadecimal digits" }
    return nil
  }
}
