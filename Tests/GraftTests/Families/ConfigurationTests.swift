import GraftData
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// What stands in files beside the weights is taken before what is usual, and who said a thing is known.
@Suite(.serialized) struct ConfigurationTests {
  private static func folder(_ name: String) -> FilePath { Fixtures.folder / "dialects" / name }

  private func reading(
    _ path: FilePath, _ options: BackboneOptions = .init()
  ) throws -> BackboneReading {
    try BackboneCatalog.read(path, options: options)
  }

  @Test func transformersFilesAreBelieved() throws {
    let clip = try reading(Self.folder("hf_clip_vision"))
    #expect(clip.value(of: .heads) == 2 && clip.value(of: .activation) == "gelu")
    #expect(
      clip.origins == [
        .heads: .configuration, .epsilon: .configuration, .activation: .configuration, .pooling: .dialect,
        .normalization: .preprocessor, .positionResampling: .dialect,
      ])
    #expect(clip.assumed.isEmpty && clip.notes.isEmpty)
    let beit = try reading(Self.folder("hf_beit"))
    #expect(beit.origins[.heads] == .configuration && beit.origins[.positionResampling] == .dialect)
    let dinov3 = try reading(Self.folder("hf_dinov3"))
    #expect(dinov3.origins[.rotationBase] == .configuration && dinov3.origins[.rotationSide] == nil)
    // Without a table of positions the size is the file's.
    #expect(dinov3.architecture.imageSize == 16)
  }

  @Test func flagsBeatFiles() throws {
    var options = BackboneOptions(heads: 4, normalization: .half)
    try options.set("architecture", to: "vit_base_patch16_clip_224.openai")
    let reading = try reading(Self.folder("hf_clip_vision"), options)
    #expect(reading.value(of: .heads) == 4 && reading.origins[.heads] == .flag)
    #expect(reading.value(of: .normalization) == "half" && reading.origins[.normalization] == .flag)
    // A name that was said counts more than a file that lies there.
    #expect(reading.value(of: .epsilon) == 1e-5 && reading.origins[.epsilon] == .name)
  }

  @Test func whatNobodySaysIsAssumed() throws {
    let reading = try reading(Fixtures.smallPath, .init(heads: 4))
    #expect(reading.origins[.heads] == .flag)
    #expect(reading.origins[.epsilon] == .dialect && reading.origins[.normalization] == .usual)
    #expect(reading.assumed == [.epsilon, .normalization, .activation])
  }

  /// What timm saves beside each of these models gives what is read off the model itself.
  @Test(arguments: [
    "vit_base_patch16_224.mae", "vit_base_patch16_clip_quickgelu_224.openai",
    "vit_base_patch16_siglip_224.webli",
    "deit_base_distilled_patch16_224.fb_in1k", "vit_base_patch16_dinov3.lvd1689m",
    "eva02_base_patch14_448.mim_in22k_ft_in1k",
  ])
  func timmsFilesSayWhatItsModelsAre(_ name: String) throws {
    let bytes = try RegularFile.read(Fixtures.folder / "configurations" / "\(name).json", atMost: 1 << 20)
    let fixture = try JSON.value(JSONValue.self, of: bytes).objectValue ?? [:]
    let (config, model) = (fixture["config"]?.objectValue ?? [:], fixture["model"]?.objectValue ?? [:])
    let shape = try BackboneShape(named: String(name.prefix { $0 != "." }))
    let index = TensorIndex(
      shapes: Dictionary(uniqueKeysWithValues: shape.tensors.map { ($0.name, $0.shape) }))
    let files = ConfigurationFiles(config, of: index)
    let said = files.sayings.reversed().reduce(BackboneOptions()) { $0.replacing(by: $1) }
    #expect(files.notes.isEmpty)
    #expect(said.heads == model["heads"]?.intValue)
    #expect(said.epsilon == model["epsilon"]?.doubleValue.map(Float.init))
    #expect(said.activation?.name == model["activation"]?.stringValue)
    #expect(said.pooling?.rawValue == model["pooling"]?.stringValue)
    #expect(said.trainedSize == model["image_size"]?.intValue)
    let scaling = try JSONValue.object(["mean": model["mean"] ?? .null, "std": model["std"] ?? .null])
      .decoded(as: Normalization.self)
    #expect(said.normalization == scaling)
    let trained = config["pretrained_cfg"]?.objectValue ?? [:]
    #expect(files.preprocessing?.cropFraction == trained["crop_pct"]?.doubleValue)
    #expect(files.preprocessing?.keepsAspectRatio == (trained["crop_mode"] != "squash"))

    // Beside weights of another model it says nothing.
    let other = try BackboneShape(named: "vit_small_patch16_224")
    let small = TensorIndex(
      shapes: Dictionary(uniqueKeysWithValues: other.tensors.map { ($0.name, $0.shape) }))
    let unused = ConfigurationFiles(config, of: small)
    #expect(unused.sayings.isEmpty && unused.notes.count == 1 && unused.notes[0].contains(name))
  }

  /// Within another model's file what is the class's default is left out.
  @Test func defaultsOfTowersAreKnown() throws {
    let shape = try BackboneShape(named: "vit_base_patch16_clip_224")
    let index = TensorIndex(
      shapes: Dictionary(uniqueKeysWithValues: shape.tensors.map { ($0.name, $0.shape) }))
    let files = ConfigurationFiles(
      ["model_type": "clip", "vision_config": ["model_type": "clip_vision_model", "patch_size": 16]],
      of: index)
    #expect(files.sayings.first?.heads == 12 && files.sayings.first?.activation == .quickGELU)
    let language = ConfigurationFiles(
      ["model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 6], of: index
    )
    #expect(language.sayings.isEmpty && language.notes.count == 1)
  }

  /// A damaged or foreign file beside the weights is said, and the weights are read as without it.
  @Test(arguments: [
    ("config.json", "{", "no JSON object"), ("config.json", "[1]", "no JSON object"),
    ("config.json", #"{"a": 1}"#, "neither timm's nor transformers'"),
    ("config.json", #"{"model_type": "vit", "hidden_size": 99, "num_hidden_layers": 2}"#, "another model"),
    (
      "config.json",
      #"{"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": -1}"#,
      "heads = -1"
    ),
    (
      "config.json",
      #"{"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "layer_norm_eps": 1e999}"#,
      "no JSON object"
    ),
    ("preprocessor_config.json", #"{"image_mean": [0, 0, 0], "image_std": [0, 1, 1]}"#, "normalization"),
    ("preprocessor_config.json", #"{"image_mean": "x", "image_std": []}"#, "normalization"),
    ("config.json", String(repeating: "[", count: 100_000), "no JSON object"),
    ("config.json", String(repeating: " ", count: 5 << 20), "cannot be read"),
  ])
  func whatCannotBeUsedIsSaid(_ file: String, _ text: String, _ note: String) async throws {
    try await Fixtures.withFolder { folder in
      let weights = folder / "model.safetensors"
      try AtomicFile.write(
        RegularFile.read(Self.folder("hf_vit") / "model.safetensors", atMost: 1 << 22), to: weights)
      try AtomicFile.write(Array(text.utf8), to: folder / file)
      let reading = try reading(weights, .init(heads: 2))
      #expect(reading.notes.count == 1 && reading.notes.first?.contains(note) == true, "\(reading.notes)")
      #expect(reading.origins[.epsilon] == .dialect && reading.value(of: .normalization) == "half")
    }
  }

  /// transformers' processors: squash, crop of the middle, and the shorter side.
  @Test func picturesArePreparedAsTheFilesSay() throws {
    func transform(_ name: String, _ size: ImageSize? = nil) throws -> ImageTransform {
      try Backbone(path: Self.folder(name), options: .init(imageSize: size), on: Fixtures.context.get())
        .transform
    }
    #expect(try transform("hf_vit") == .squash(imageSize: 16, interpolation: .bilinear))
    #expect(try transform("hf_siglip_vision") == .squash(imageSize: 16))
    #expect(try transform("hf_dinov2") == ImageTransform(resize: .shortestSide(18)))
    #expect(try transform("hf_dinov2", 32) == ImageTransform(resize: .shortestSide(36)))
    let plain = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: Fixtures.context.get())
    #expect(plain.transform == .squash(imageSize: plain.shape.imageSize))
  }

  @Test func factsAreSetByName() throws {
    var options = BackboneOptions()
    for (name, value) in [
      ("heads", "4"), ("epsilon", "1e-5"), ("normalization", "clip"), ("activation", "gelu_tanh"),
      ("pooling", "avg"), ("rotation_base", "50"), ("rotation_side", "12"),
      ("position_resampling", "bicubic_half_pixel"),
    ] {
      try options.set(name, to: value)
    }
    #expect(BackboneFact.allCases.allSatisfy(options.says))
    #expect(options.normalization == .clip && options.pooling == .mean && options.rotationSide == 12)
    try options.set("normalization", to: #"{"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}"#)
    #expect(options.normalization == Normalization(mean: [0.1, 0.2, 0.3], std: [1, 2, 3]))
    for (name, value) in [
      ("heads", "0"), ("heads", "two"), ("epsilon", "-1"), ("epsilon", "nan"), ("normalization", "imagnet"),
      ("normalization", #"{"mean": [0, 0, 0], "std": [0, 1, 1]}"#), ("activation", "elu"), ("pooling", "max"),
      ("rotation_base", "0"), ("rotation_side", "1.5"), ("position_resampling", "nearest"), ("head", "3"),
      ("architecture", "vit_base_patch16_223"),
    ] {
      #expect(throws: GraftError.self, "\(name)=\(value)") { try options.set(name, to: value) }
    }
  }
}
