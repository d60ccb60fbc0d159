import ArgumentParser
import Graft
import GraftData
import GraftOps
import GraftRuntime
import GraftSystem

/// Options of every verb.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON object a line on standard output; text goes to standard error.")
  var json = false
}

/// Options of the verbs that use a device.
struct DeviceOptions: ParsableArguments {
  @Option(
    help:
      "Device: its index, its type (cpu, gpu, accelerator) or part of its name. Default: GRAFT_DEVICE, else a GPU."
  )
  var device: String?

  @Option(help: "Most device memory to use, such as 512M or 4G.")
  var memoryLimit: String?

  func context(_ precision: StoragePrecision = .fp32) throws -> Context {
    try Context(
      Device.select(device), precision: precision,
      memoryLimit: memoryLimit.map { try bytes($0, of: "--memory-limit") })
  }

}

/// A size such as `512M` in bytes.
func bytes(_ text: String, of option: String) throws -> Int {
  let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
  let unit = text.last.flatMap { units[Character($0.uppercased())] }
  let digits = unit == nil ? text : String(text.dropLast())
  guard let number = Int(digits), number > 0, number < 1 << 30 else {
    throw ValidationError("\(option) \(text) is no size; write 512M or 4G.")
  }
  return number * (unit ?? 1)
}

/// How the backbone's weights are kept, for the verbs that let it be chosen.
struct PrecisionOptions: ParsableArguments {
  @Option(
    help: """
      How the backbone's weights are kept in memory: fp32, bf16 or fp16. Arithmetic is fp32, but for bf16 on processors \
      that multiply bf16 themselves (graft devices says which).
      """)
  var precision = Named(StoragePrecision.fp32)
}

/// Options that say what a backbone's file does not tell.
struct FactArguments: ParsableArguments {
  @Option(help: "Attention heads (default: as in timm's models of this width, or else 64 channels each).")
  var heads: Int?

  @Option(help: "Epsilon of layer normalisation (default 1e-6, as in timm).")
  var epsilon: Float?

  @Option(help: "Pixel scaling the weights were trained with: imagenet, half or clip.")
  var normalization: NormalizationName?

  enum NormalizationName: String, ExpressibleByArgument, CaseIterable {
    case imagenet, half, clip

    var value: Normalization {
      switch self {
      case .imagenet: .imageNet
      case .half: .half
      case .clip: .clip
      }
    }
  }

  @Option(
    name: .customLong("set-backbone"),
    help: ArgumentHelp(
      """
      What the backbone's file does not tell: \(BackboneFact.allCases.map(\.rawValue).joined(separator: ", ")), or \
      architecture with a timm name, which stands for them all; may be repeated.
      """, valueName: "name=value"))
  var settings: [String] = []

  /// What was said, and what was not.
  func options(imageSize: ImageSize? = nil) throws -> BackboneOptions {
    var options = BackboneOptions(imageSize: imageSize)
    for text in settings {
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ValidationError("--set-backbone \(text): write NAME=VALUE.") }
      try options.set(parts[0], to: parts[1])
    }
    options.heads = heads ?? options.heads
    options.epsilon = epsilon ?? options.epsilon
    options.normalization = normalization?.value ?? options.normalization
    return options
  }
}

/// Options that say how a backbone is read.
struct BackboneArguments: ParsableArguments {
  @Option(help: "A file of weights (safetensors, shards, .pth, .bin or .npz), or a folder with one.")
  var backbone: FilePath

  @Option(help: "\(ImageSize.help); multiples of the patch.")
  var imageSize: ImageSize?

  @OptionGroup var facts: FactArguments

  @Option(
    help: "How stored positions are resized (default: as the library does whose names the weights have).")
  var positionResampling: Named<PositionResampling>?

  func options() throws -> BackboneOptions {
    var options = try facts.options(imageSize: imageSize)
    options.positionResampling = positionResampling?.value ?? options.positionResampling
    return options
  }
}

/// A value with a fixed list of names, read off the command line.
struct Named<Value: RawRepresentable & CaseIterable & Sendable>: ExpressibleByArgument
where Value.RawValue == String {
  let value: Value

  init(_ value: Value) { self.value = value }

  init?(argument: String) {
    guard let value = Value(rawValue: argument) else { return nil }
    self.value = value
  }

  var defaultValueDescription: String { value.rawValue }
  static var allValueStrings: [String] { Value.allCases.map(\.rawValue) }
}

/// An adapter's name and settings.
struct AdapterArguments: ParsableArguments {
  @Option(help: "\(AdapterCatalog.names.joined(separator: ", ")).")
  var adapter: String

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "A setting of the adapter, such as rank=8 or trains_class_token=false; may be repeated.",
      valueName: "name=value"))
  var settings: [String] = []

  @Option(help: "The adapter under the early exits of dyn; --set host.NAME=VALUE reaches its settings.")
  var host: String?

  func make() throws -> any Adapter { try makeAdapter(adapter, host: host, settings) }
}

/// The adapter of that name, perhaps over a host, with settings of the form `name=value`.
func makeAdapter(_ name: String, host: String? = nil, _ settings: [String]) throws -> any Adapter {
  var adapter = try AdapterCatalog.named(name)
  if let host { adapter = try AdapterCatalog.setting("host", to: host, of: adapter) }
  return try settings.reduce(adapter) { adapter, text in
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { throw ValidationError("--set \(text): write NAME=VALUE.") }
    return try AdapterCatalog.setting(parts[0], to: parts[1], of: adapter)
  }
}

/// A folder of class folders with images; what was left out of it is said.
func imageFolder(
  _ folder: FilePath, transform: ImageTransform, skipsBroken: Bool, options: LoadingOptions,
  reporter: Reporter
) throws -> ImageFolder {
  let images = try ImageFolder(
    folder, transform: transform,
    onBrokenImage: skipsBroken ? .skip { reporter.note("Skipped: \($0)") } : .refuse,
    options: options)
  for name in images.classNames where hasEscapes(name) {
    reporter.note(
      "The class \(name): its folder's name is not UTF-8. Models and JSON hold U+10FF00 plus the byte in its place."
    )
  }
  if !images.leftOut.isEmpty { reporter.sayLeftOut(of: folder, images.leftOut) }
  return images
}

extension Reporter {
  /// Says what a folder holds besides pictures.
  func sayLeftOut(of folder: FilePath, _ endings: [String: Int]) {
    note(
      """
      Left out of \(folder): \(LeftOut.list(endings)). Graft reads JPEG, PNG and WebP files; convert pictures of \
      other kinds to PNG.
      """)
    emit(
      "left_out", ["folder": JSONValue(folder), "endings": .object(endings.mapValues { .integer($0) })])
  }
}

/// How images are prepared under a recipe.
func imageTransform(_ augmentation: TrainingRecipe.Augmentation, imageSize: ImageSize) -> ImageTransform {
  switch augmentation {
  case .none: .squash(imageSize: imageSize)
  case .ila: .ila(imageSize: imageSize)
  case .vtab: .timm(imageSize: imageSize, cropFraction: 1)
  case .fgvc: .timm(imageSize: imageSize, trainingCrop: .randomResized, flipProbability: 0.5)
  }
}
