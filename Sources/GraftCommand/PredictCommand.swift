import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

struct PredictCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Name what is in pictures, with probabilities.",
    usage: "graft predict --model DIR|FILE [--model ...] [OPTIONS] IMAGE|FOLDER ...",
    discussion: """
      EXAMPLES
        graft predict --model runs/alore photo.jpg
        graft predict --model runs/alore --top 1 --json photos/*.jpg
        graft predict --model runs/alore holiday
        graft predict --model runs/flowers --model runs/birds photo.jpg

      Several models each have their say on every picture; those that were
      trained on the same backbone share it in memory. A folder stands for all
      pictures below it, sorted. Answers come in the order given. A picture that
      cannot be read is named in its place, the others are answered, and the
      verb ends with status 65.
      """)

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "A folder that graft train wrote, or a file that graft merge wrote; may be repeated.",
      valueName: "dir|file"))
  var models: [GivenPath]
  @Argument(help: "JPEG, PNG or WebP files, or folders of them.")
  var images: [GivenPath]
  @Option(help: "Classes to name for each picture.")
  var top = 3
  @OptionGroup var backbone: ModelArguments
  @Option(help: "Pictures at a time.")
  var batchSize = 16
  @OptionGroup var decoding: DecodingArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard top > 0, batchSize > 0 else {
        throw ValidationError("--top and --batch-size must be at least 1.")
      }
      let context = try device.context(precision.precision.value)
      let pictures = images.flatMap { self.pictures($0, reporter) }
      // Pictures are decoded while the models are loaded, where their folders tell how.
      let ahead = models.compactMap { backbone.preparation(of: $0.path) }
      let early =
        ahead.count < models.count ? nil : try? queue(of: pictures, as: Set(ahead))
      var loaded: [LoadedModel] = []
      for path in models {
        let (model, transform) = try backbone.load(
          path.path, among: models.map(\.path), sharing: loaded.map(\.model.backbone),
          batchSize: min(batchSize, pictures.count), on: context, reporter)
        loaded.append(LoadedModel(path: path, model: model, transform: transform))
      }
      let preparations = loaded.map(\.preparation)
      let queue =
        if let early, ahead == preparations { early } else { try queue(of: pictures, as: Set(preparations)) }
      var faults: [DataError] = []
      var pending: Answer?
      // The device works on a batch while the one before is told.
      func tell() throws {
        if let answer = pending { faults += try answer() }
        pending = nil
      }
      for start in stride(from: 0, to: pictures.count, by: batchSize) where Reporter.isHeard {
        let batch = pictures[start..<min(start + batchSize, pictures.count)]
        let next: Answer
        do {
          next = try await answer(for: Array(batch), from: queue, loaded, reporter)
        } catch {
          try tell()
          throw error
        }
        try tell()
        pending = next
      }
      try tell()
      let answered = pictures.count - faults.count
      if let first = faults.first {
        let others = "\(faults.count) of \(pictures.count) pictures cannot be read; the others are answered."
        let summary = pictures.count == 1 ? "\(first)" : "\(others) The first: \(first)"
        if pictures.count > 1 { reporter.note("Error: \(others)") }
        reporter.emit(
          "error",
          [
            "message": .string(summary), "images": .integer(answered), "broken": .integer(faults.count),
            "models": .integer(models.count),
          ])
        throw ExitCode(EX_DATAERR)
      }
      reporter.emit("done", ["images": .integer(answered), "models": .integer(models.count)])
    }
  }

  private func queue(
    of pictures: [Picture], as preparations: Set<PictureQueue.Preparation>
  ) throws -> PictureQueue {
    try PictureQueue(
      pictures.map(\.file), as: preparations, batchSize: batchSize, options: decoding.options)
  }

  /// What an argument stands for: itself, or all pictures below a folder.
  ///
  /// A folder that gives none is a broken picture.
  private func pictures(_ given: GivenPath, _ reporter: Reporter) -> [Picture] {
    guard given.path.isFolder else { return [Picture(word: given.word, file: .success(given.path))] }
    do throws(DataError) {
      let folder = try PictureFolder(given.path)
      if !folder.leftOut.isEmpty { reporter.sayLeftOut(of: given.path, folder.leftOut) }
      return folder.pictures.map { Picture(word: $0.escapedText, file: .success($0)) }
    } catch {
      return [Picture(word: given.word, file: .failure(error))]
    }
  }

  /// Waits for the models, tells what they say of the pictures that can be read, in order, and names the others; returns
  /// their faults.
  private typealias Answer = () throws -> [DataError]

  /// Queues the models' work on pictures.
  private func answer(
    for pictures: [Picture], from queue: PictureQueue, _ loaded: [LoadedModel], _ reporter: Reporter
  ) async throws -> Answer {
    var rows: [PictureQueue.Crops] = []
    while rows.count < pictures.count, let row = try await queue.next() { rows.append(row) }
    // Models that want the pictures alike share them too.
    var pixels: [PictureQueue.Preparation: [UInt8]] = [:]
    for crops in rows.compactMap({ try? $0.get() }) { pixels.merge(crops, uniquingKeysWith: +) }
    let good = rows.count { (try? $0.get()) != nil }
    let decisions = try loaded.map { source in
      good == 0
        ? { [] }
        : try source.model.startDeciding(
          ImageBatch(
            count: good, imageSize: source.preparation.imageSize, pixels: pixels[source.preparation] ?? []))
    }
    return {
      let decisions = try decisions.map { try $0() }
      var faults: [DataError] = []
      var row = 0
      for (image, crops) in zip(pictures, rows) {
        switch crops {
        case .failure(let fault):
          reporter.note("Error: \(fault)")
          reporter.emit("broken", ["image": .string(image.word), "message": .string("\(fault)")])
          faults.append(fault)
        case .success:
          for (source, decisions) in zip(loaded, decisions) {
            try show(source, image, decisions[row], reporter)
          }
          row += 1
        }
      }
      return faults
    }
  }

  private func show(
    _ source: LoadedModel, _ image: Picture, _ decision: Decision, _ reporter: Reporter
  ) throws {
    let best = source.model.predictions(decision.logits).prefix(top)
    let names = best.map { "\($0.className) \(format(100 * Double($0.probability))) %" }
    let origin: Message = models.count > 1 ? " (\(source.path.word))" : ""
    reporter.say("\(image.word)\(origin): \(names.joined(separator: ", "))")
    reporter.emit(
      "prediction",
      [
        "model": .string(source.path.word), "image": .string(image.word),
        "predictions": try JSONValue(encoding: Array(best)),
        "logits": .array(decision.logits.map { .number(Double($0)) }),
        "blocks": .integer(source.model.summary.exits[decision.exit].blocks),
      ])
  }
}

/// One of the pictures that were asked about, and how it is named in the answer.
private struct Picture {
  let word: String
  let file: Result<FilePath, DataError>
}

/// A model, where it came from, and how its pictures are prepared.
private struct LoadedModel {
  let path: GivenPath
  let model: GraftedModel
  let transform: ImageTransform

  var preparation: PictureQueue.Preparation {
    .init(transform: transform, imageSize: model.backbone.shape.imageSize)
  }
}
