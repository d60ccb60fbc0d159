import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

struct FeaturesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "features", abstract: "Write what a backbone, or a trained model, makes of pictures.",
    usage: "graft features --backbone FILE|--model DIR --out FILE [OPTIONS] IMAGE|FOLDER ...",
    discussion: """
      EXAMPLES
        graft features --backbone dinov2_small.safetensors --out f.npy photos
        graft features --model runs/alore --out f.safetensors photos/*.jpg
        graft features --backbone dinov2_small.safetensors --tokens --out t.npy a.jpg
        graft features --backbone dinov2_small.safetensors --raw --out r.npy 518.png

      A row a picture, in the order given: for search, clustering and nearest
      neighbours, and to compare Graft with other libraries. A file that ends in
      .npy is NumPy's; any other is safetensors, with the tensor "features" and
      the pictures' names in its metadata. A picture that cannot be read ends
      the verb. With --raw pixels are scaled as the weights want it, and nothing
      else is done to them.
      """)

  @Option(
    help: ArgumentHelp(
      "A model on its backbone: a folder that graft train wrote, or a file that graft merge wrote.",
      valueName: "dir|file"))
  var model: FilePath?
  @Argument(help: "JPEG, PNG or WebP files, or folders of them.")
  var images: [GivenPath]
  @Option(help: "The file to write: .safetensors or .npy.")
  var out: FilePath
  @Flag(help: "Write all tokens, behind the last norm, in place of one row a picture.")
  var tokens = false
  @Option(help: "Write the tokens that leave this block, counted from 1.")
  var block: Int?
  @Option(
    help: "Size of the images in pixels: 224, or 224x448 for height and width (default: the weights' own).")
  var imageSize: ImageSize?
  @Flag(
    help: "Take pictures as they are: each must have the size of the images, and none is resized or cropped.")
  var raw = false
  @OptionGroup var backbone: ModelArguments
  @Option(help: "Pictures at a time.")
  var batchSize = 16
  @OptionGroup var decoding: DecodingArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard backbone.backbone != nil || model != nil else {
      throw ValidationError("Say --backbone with a file of weights, or --model with a trained one.")
    }
    guard !tokens || block == nil else { throw ValidationError("--tokens and --block exclude each other.") }
    guard batchSize > 0 else { throw ValidationError("--batch-size must be at least 1.") }
    guard model == nil || imageSize == nil else {
      throw ValidationError("A model's folder records the size of its images; leave out --image-size.")
    }
  }

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      let kind: Features.Kind = block.map { .block($0) } ?? (tokens ? .tokens : .pooled)
      let context = try device.context(precision.precision.value)
      let (features, prepared) = try source(on: context, reporter)
      let preparation = PictureQueue.Preparation(
        transform: raw ? nil : prepared.transform, imageSize: prepared.imageSize)
      let pictures = try images.flatMap { try $0.path.isFolder ? PictureFolder($0.path).pictures : [$0.path] }
      let queue = try PictureQueue(
        pictures.map { .success($0) }, as: [preparation], batchSize: batchSize, options: decoding.options)
      var (values, shape): ([Float], [Int]) = ([], [])
      for start in stride(from: 0, to: pictures.count, by: batchSize) {
        let count = min(batchSize, pictures.count - start)
        var pixels: [UInt8] = []
        for _ in 0..<count { pixels += try await queue.next()?.get()[preparation] ?? [] }
        let part = try features(
          ImageBatch(count: count, imageSize: preparation.imageSize, pixels: pixels), kind)
        values += part.values
        shape = [start + count] + part.shape.dropFirst()
        reporter.progress("\(start + count) of \(pictures.count) pictures")
      }
      reporter.endProgress()
      let names = pictures.map(\.escapedText)
      if out.extension == "npy" {
        try NumpyFile.write(values, shape: shape, to: out)
      } else {
        let list = JSONValue.array(names.map { .string($0) })
        try Safetensors.write(
          [(name: "features", shape: shape, values: values)], metadata: ["images": list.text], to: out)
      }
      let sides = shape.map(String.init).joined(separator: " x ")
      reporter.say("Wrote \(out): \(sides) numbers.")
      reporter.emit(
        "done",
        [
          "out": JSONValue(out), "shape": .array(shape.map { .integer($0) }),
          "images": .array(names.map { .string($0) }),
        ])
    }
  }

  /// What makes features, and how its pictures are prepared.
  private func source(
    on context: Context, _ reporter: Reporter
  ) throws -> ((ImageBatch, Features.Kind) throws -> Features, PictureQueue.Preparation) {
    if let model {
      let (loaded, transform) = try backbone.load(model, batchSize: batchSize, on: context, reporter)
      return (
        { try loaded.features($0, $1) },
        .init(transform: transform, imageSize: loaded.backbone.shape.imageSize)
      )
    }
    guard let path = backbone.backbone else { preconditionFailure("one of the two is given") }
    let loaded = try Backbone(path: path, options: backbone.facts.options(imageSize: imageSize), on: context)
    reporter.sayRemarks(on: loaded.reading)
    return (
      { try loaded.features($0, $1) },
      .init(transform: loaded.transform, imageSize: loaded.shape.imageSize)
    )
  }
}
