import ArgumentParser
import Graft
import GraftRuntime
import GraftSystem

struct InfoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "Count parameters, tokens and operations of a model; nothing is run.",
    usage: """
      graft info --backbone FILE|ARCHITECTURE [--adapter NAME] [OPTIONS]
      graft info --backbones
      graft info --published
      """,
    discussion: """
      EXAMPLES
        graft info --backbone vit_base_patch16_224
        graft info --backbone vit_base_patch16_224 --adapter ila \\
            --image-size 448 --classes 80 --json
        graft info --backbone vit_base_patch16_224 --adapter dyn --host linear
        graft info --backbone vit_base_patch16_224 --adapter alore --batch-size 32
        graft info --backbone dinov2_small.safetensors --normalization imagenet
        graft info --backbone clip.bin \\
            --set-backbone architecture=vit_base_patch16_clip_quickgelu_224.openai
        graft info --backbones
        graft info --published

      What a file's tensors do not tell is listed with who says it: a flag,
      config.json or preprocessor_config.json beside the file (timm's or
      transformers'), an architecture's name, the dialect that the file's names
      are of, or what is usual. The last two are assumed, and the line "Assumed"
      says what matters of it.

      --batch-size adds the device memory that training (preset quick) and use
      need with that batch, by purpose and to the byte: the steps are rehearsed
      on the device without computing anything.

      --published lists what papers print about adapters on ViT-B/16: trainable
      parameters, the total over the ten data sets of the ILA paper, and
      multiply-accumulates, each beside the figure of Graft's own plans.
      """)

  @Option(help: "A file of weights, or a timm architecture name.")
  var backbone: FilePath?
  @Option(help: "\(ImageSize.help).")
  var imageSize: ImageSize?
  @OptionGroup var facts: FactArguments
  @Option(help: "Number of classes; 0 leaves the head out.")
  var classes = 0
  @Option(help: "\(AdapterCatalog.names.joined(separator: ", ")).")
  var adapter = "linear"
  @Option(name: .customLong("set"), help: ArgumentHelp("A setting of the adapter.", valueName: "name=value"))
  var settings: [String] = []
  @Flag(help: "Compare the papers' figures with those of Graft's plans.")
  var published = false
  @Flag(
    name: [.customLong("backbones"), .customLong("architectures")],
    help: "List timm's architectures that --backbone takes, with the tags of their weights.")
  var architectures = false
  @Option(help: "The adapter under the early exits of dyn.")
  var host: String?
  @Option(help: "Plan the device memory of batches of so many images.")
  var batchSize: Int?
  @OptionGroup var memory: MemoryArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard published || architectures || backbone != nil else {
      throw ValidationError(
        "Say --backbone with a file or a timm architecture name, --backbones or --published.")
    }
  }

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      if architectures { return try show(BackboneCatalog.all, reporter) }
      guard let backbone, !published else { return try show(PublishedFigure.all(), reporter) }
      guard (0...1_000_000).contains(classes) else {
        throw ValidationError("--classes must be in 0...1000000.")
      }
      guard batchSize.map({ $0 > 0 }) ?? true else {
        throw ValidationError("--batch-size must be at least 1.")
      }
      guard batchSize != nil || memory.recompute.value == .norms else {
        throw ValidationError("--recompute plans memory: say --batch-size too.")
      }
      let adapter = try makeAdapter(adapter, host: host, settings)
      let (shape, reading) = try facts.shape(of: backbone, imageSize: imageSize)
      let architecture = shape.architecture
      let assumptions = Assumptions(reading?.assumed ?? [], of: architecture)
      let fits = try AdapterFit.all(on: shape)
      let summary = try ModelSummary(shape, adapter: adapter, classes: classes)
      let weights = 4 * summary.backboneParameters
      reporter.say(
        """
        Backbone   \(architecture.name): width \(shape.featureWidth), \(shape.depth) blocks, \
        \(architecture.value(of: .heads).text) heads, patch \(shape.stem.patchSize), images of \(shape.imageSize) px\
        \(reading.map { "\nRead as    \($0.dialect)" as Message } ?? "")
        Adapter    \(adapter.name)

        Backbone parameters    \(grouped(summary.backboneParameters)) (frozen)
        Adapter parameters     \(grouped(summary.adapterParameters))
        Head parameters        \(grouped(summary.headParameters))\(classes == 0 ? " (say --classes)" : "")
        Trainable parameters   \(grouped(summary.trainableParameters))
        Tokens                 \(summary.tokens.map(String.init).joined(separator: " -> "))
        GMAC an image          \(format(summary.gmac, 3))
        Prepared weights       \(formatBytes(weights)) for use, up to \(formatBytes(2 * weights)) in training
        """)
      if let reading { reporter.show(reading) }
      reporter.say(Message(lines: "\n" + AdapterFit.lines(fits)))
      if summary.exits.count > 1 {
        reporter.say(
          "GMAC up to each exit   \(summary.exits.map { "block \($0.blocks): \(format($0.gmac, 3))" }.joined(separator: ", "))"
        )
      }
      var fields = try JSONValue(encoding: summary).objectValue ?? [:]
      fields["assumed"] = assumptions.json
      fields["architecture"] = .string(architecture.name)
      fields["family"] = .string(type(of: architecture).family)
      fields["dialect"] = reading.map { .string($0.dialect) } ?? .null
      fields["facts"] = reading?.json ?? .null
      fields["adapters"] = AdapterFit.json(fits)
      fields["adapter"] = .string(adapter.name)
      fields["image_size"] = JSONValue(shape.imageSize)
      fields["weight_bytes"] = .integer(weights)
      if let batchSize { try plan(shape, adapter, batchSize, &fields, reporter) }
      reporter.emit("done", fields)
    }
  }

  /// Device memory in training and in use.
  private func plan(
    _ shape: BackboneShape, _ adapter: any Adapter, _ batchSize: Int,
    _ fields: inout [String: JSONValue], _ reporter: Reporter
  ) throws {
    let context = try device.context(precision.precision.value)
    var recipe = try TrainingRecipe.preset("quick", for: adapter)
    recipe.batchSize = batchSize
    let training = try MemoryPlan.training(
      shape, adapter: adapter, classes: classes, recipe: recipe, recomputation: memory.recompute.value,
      on: context)
    let use = try MemoryPlan.inference(
      shape, adapter: adapter, classes: classes, batchSize: batchSize, on: context)
    let rows = zip(training.parts, use.parts).map { [$0.name, formatBytes($0.bytes), formatBytes($1.bytes)] }
    reporter.say(
      Message(
        lines: "\n"
          + textTable(["Device memory, batches of \(batchSize)", "training", "use"], rows, numbers: [1, 2])))
    fields["training_memory"] = training.json
    fields["inference_memory"] = use.json
  }

  private func show(_ architectures: [NamedArchitecture], _ reporter: Reporter) throws {
    let shapes = try architectures.map { try $0.architecture.shape() }
    let summaries = try shapes.map { try ModelSummary($0, adapter: LinearProbe(), classes: 0) }
    let rows = zip(architectures, summaries).map { entry, summary in
      [
        entry.name, type(of: entry.architecture).family, grouped(summary.backboneParameters),
        format(summary.gmac, 3), entry.tags.keys.sorted().joined(separator: ", "),
      ]
    }
    reporter.say(
      Message(
        lines: textTable(
          ["architecture", "family", "parameters", "GMAC", "tags of its weights"], rows, numbers: [2, 3])))
    for (entry, (shape, summary)) in zip(architectures, zip(shapes, summaries)) {
      reporter.emit(
        "architecture",
        [
          "architecture": .string(entry.name), "family": .string(type(of: entry.architecture).family),
          "gmac": .number(summary.gmac), "image_size": JSONValue(shape.imageSize),
          "patch_size": .integer(shape.stem.patchSize), "width": .integer(shape.featureWidth),
          "depth": .integer(shape.depth), "heads": entry.architecture.value(of: .heads),
          "backbone_parameters": .integer(shape.parameterCount),
          "normalization": entry.architecture.value(of: .normalization),
          "tags": .object(entry.tags.mapValues { $0.name.map { .string($0) } ?? .null }),
        ])
    }
    reporter.emit("done", ["architectures": .integer(architectures.count)])
  }

  private func show(_ figures: [PublishedFigure], _ reporter: Reporter) throws {
    let titles: [(PublishedFigure.Quantity, String)] = [
      (.adapterParameters, "Trainable parameters on ViT-B/16, millions, without head and class token"),
      (
        .totalTrainableParameters,
        "Total trainable parameters, millions: five times the mean over ten data sets"
      ),
      (.gmac, "GMAC an image on ViT-B/16"),
    ]
    for (quantity, title) in titles {
      let chosen = figures.filter { $0.quantity == quantity }
      reporter.say("\(title)")
      if quantity == .totalTrainableParameters {
        let classes = PublishedFigure.tenDatasets.map { "\($0.name) \($0.classes)" }.joined(separator: ", ")
        reporter.say("Classes: \(classes).")
      }
      let header = ["method", "adapter", "ours", "published", "", "where"]
      reporter.say(
        Message(lines: textTable(header, chosen.map(\.cells), numbers: [2, 3]) + "\n"))
    }
    for figure in figures {
      var fields = try JSONValue(encoding: figure).objectValue ?? [:]
      fields["agrees"] = figure.agrees.map { .bool($0) } ?? .null
      reporter.emit("figure", fields)
    }
    reporter.emit(
      "done",
      [
        "figures": .integer(figures.count), "agree": .integer(figures.filter { $0.agrees == true }.count),
        "differ": .integer(figures.filter { $0.agrees == false }.count),
        "missing": .integer(figures.filter { $0.computed == nil }.count),
      ])
  }
}

extension PublishedFigure {
  /// One row: method, adapter, our figure, the paper's, whether they agree, where it is from.
  fileprivate var cells: [String] {
    let ours = count.map(grouped) ?? computed.map { format($0, 3) } ?? "not in Graft yet"
    let verdict =
      switch agrees {
      case true?: "agrees"
      case false?: "differs"
      case nil: ""
      }
    let name = ([adapter] + settings.map { "\($0.key)=\($0.value.text)" }.sorted()).joined(separator: " ")
    let size = quantity == .gmac ? ", \(imageSize) px" : ""
    return [
      method + size, name, ours, published ?? "", verdict,
      source + (note.map { agrees == true ? "" : "; \($0)" } ?? ""),
    ]
  }
}

extension FactArguments {
  /// The shape behind a file or an architecture's name, and how a file was read.
  func shape(
    of backbone: FilePath, imageSize: ImageSize?
  ) throws -> (shape: BackboneShape, reading: BackboneReading?) {
    if backbone.extension == "safetensors" || backbone.isTaken {
      let reading = try BackboneCatalog.read(backbone, options: options(imageSize: imageSize))
      return (try reading.architecture.shape(), reading)
    }
    let architecture = try BackboneCatalog.named(backbone.escapedText)
    return (try architecture.replacing(by: options(imageSize: imageSize)).shape(), nil)
  }
}
