import ArgumentParser
import Foundation
import Graft
import GraftData
import GraftRuntime
import Synchronization

struct TrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train an adapter and a head on a folder of images.",
    usage: "graft train --backbone FILE --data DIR --adapter NAME --out DIR [OPTIONS]",
    discussion: """
      EXAMPLES
        graft train --backbone dinov2_small.safetensors --data flowers \\
            --adapter ila --out runs/ila
        graft train --backbone vit_b16.safetensors --data cotton \\
            --adapter ila++ --preset ila --image-size 448 --out runs/cotton
        graft train --backbone dinov2_small.safetensors --data flowers \\
            --adapter alore --set rank=8 --out runs/rank8
        graft train ... --out runs/ila --resume

      OUT receives the adapter of the last pass, the best one in best/,
      checkpoint.safetensors to resume from, and metrics.jsonl. Ctrl-C finishes
      the step, saves and ends with status 130.

      PRESETS
        quick       AdamW, one cycle, 12 epochs
        ila         the ILA paper's
        alore-vtab, alore-fgvc
                    reconstructed from SSF's, without mixup, cutmix, erasing,
                    drop-path and weight averaging
        petl        RepAdapter's, without drop-path
      """)

  @OptionGroup var backbone: BackboneArguments
  @Option(help: "Folder with train/CLASS/ and val/CLASS/ images.")
  var data: String
  @OptionGroup var adapter: AdapterArguments
  @Option(help: "Folder for the results.")
  var out: String
  @Option(help: "\(TrainingRecipe.presetNames.joined(separator: ", ")).")
  var preset = "quick"
  @Option(help: "Passes over the training images.") var epochs: Int?
  @Option(help: "Images a step.") var batchSize: Int?
  @Option(help: "Batches whose gradients are summed before a step.") var accumulation: Int?
  @Option(help: "Peak learning rate.") var learningRate: Double?
  @Option(help: "Weight decay.") var weightDecay: Float?
  @Option(help: "Largest global norm of the gradients; 0 turns clipping off.") var clip: Float?
  @Option(help: "Label smoothing.") var labelSmoothing: Float?
  @Option(help: "Dropout on the frozen branches' outputs.") var backboneDropout: Float?
  @Option(help: "What happens to training images.") var augmentation: Named<TrainingRecipe.Augmentation>?
  @Option(help: "Passes from one evaluation to the next; the last is always evaluated.")
  var evaluateEvery = 1
  @Option(help: "Determines initial values, order, augmentation and dropout.") var seed: UInt64 = 0
  @Flag(help: "Continue the run in OUT to the same bits as if it had not stopped.") var resume = false
  @Flag(help: "Leave out images that cannot be decoded instead of stopping.") var skipBroken = false
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run { try await train(reporter) }
  }

  private func train(_ reporter: Reporter) async throws {
    let adapter = try adapter.make()
    let recipe = try recipe(for: adapter)
    try refuseToOverwrite()

    var options = backbone.options
    let stored = try VisionTransformerShape(path: backbone.backbone, options: options)
    if options.imageSize == nil {
      // Pre-training sizes such as DINOv2's 518 are rarely what one wants to pay for.
      options.imageSize = min(
        stored.imageSize, max(stored.patchSize, 224 / stored.patchSize * stored.patchSize))
    }
    if options.normalization == nil { options.normalization = recipe.normalization }
    if preset == "ila" {
      // The ILA code's own conventions.
      if backbone.epsilon == nil { options.epsilon = 1e-12 }
      if backbone.positionResampling == nil { options.positionResampling = .bilinearAlignedCorners }
    }
    let imageSize = options.imageSize ?? stored.imageSize
    let transform = imageTransform(recipe.augmentation, imageSize: imageSize)
    let training = try imageFolder(
      data, "train", transform: transform, skipsBroken: skipBroken, reporter: reporter)
    let validation = try imageFolder(
      data, "val", transform: transform, skipsBroken: skipBroken, reporter: reporter)
    try checkSameClasses(train: training, val: validation)

    let context = try device.context()
    let vit = try VisionTransformer(path: backbone.backbone, options: options, on: context)
    let model = try GraftedModel(vit, adapter: adapter, classes: training.classNames, seed: seed)
    let trainer = try Trainer(
      model, recipe: recipe, seed: seed, output: out, transform: JSONValue(encoding: transform))
    let name = adapter.name
    reporter.say(
      """
      \(name) on \(vit.shape.architectureName) at \(imageSize) px: \(grouped(model.summary.trainableParameters)) trainable \
      parameters, \(format(model.summary.gmac, 2)) GMAC an image
      \(training.count) training and \(validation.count) validation images of \(training.classNames.count) classes, on \
      \(context.traits.name)
      """)

    StopSignal.install()
    let result = try await trainer.run(
      training: training, validation: validation, evaluatesEvery: evaluateEvery, resumes: resume,
      shouldStop: { StopSignal.isRaised }
    ) { event in show(event, reporter) }
    reporter.endProgress()

    if result.wasInterrupted {
      reporter.note(
        "Interrupted after step \(result.steps) and saved. Continue with the same command and --resume.")
      reporter.emit("interrupted", ["steps": .integer(result.steps)])
      throw ExitCode(130)
    }
    let top1 = result.validation?.top1 ?? 0
    reporter.say(
      """
      \(name): top-1 \(format(100 * top1)) % (best \(format(100 * result.bestTop1)) %), training \
      \(format(result.trainingImagesPerSecond)) images/s, inference \
      \(format(result.validation?.imagesPerSecond ?? 0)) images/s, peak device memory \(formatBytes(result.peakDeviceBytes))
      Saved in \(out).
      """)
    reporter.emit(
      "done",
      [
        "method": .string(name), "trainable_parameters": .integer(model.summary.trainableParameters),
        "gmac": .number(model.summary.gmac), "top1": .number(top1), "best_top1": .number(result.bestTop1),
        "train_images_per_second": .number(result.trainingImagesPerSecond),
        "inference_images_per_second": .number(result.validation?.imagesPerSecond ?? 0),
        "peak_device_bytes": .integer(result.peakDeviceBytes), "steps": .integer(result.steps),
        "image_size": .integer(imageSize), "seed": .integer(Int(truncatingIfNeeded: seed)),
        "out": .string(out),
      ])
  }

  private func recipe(for adapter: any Adapter) throws -> TrainingRecipe {
    var recipe = try TrainingRecipe.preset(preset, for: adapter)
    if let epochs { recipe.epochs = epochs }
    if let batchSize { recipe.batchSize = batchSize }
    if let accumulation { recipe.accumulation = accumulation }
    if let learningRate { recipe.learningRate = learningRate }
    if let weightDecay { recipe.weightDecay = weightDecay }
    if let clip { recipe.clip = clip }
    if let labelSmoothing { recipe.labelSmoothing = labelSmoothing }
    if let backboneDropout { recipe.backboneDropout = backboneDropout }
    if let augmentation { recipe.augmentation = augmentation.value }
    try recipe.validate()
    return recipe
  }

  /// A finished or interrupted run is not overwritten by accident.
  private func refuseToOverwrite() throws {
    guard !resume else { return }
    for name in [Trainer.checkpointName, AdapterFolder.manifestName]
    where FileManager.default.fileExists(atPath: out + "/" + name) {
      throw GraftError.badOutput(
        folder: out, reason: "it holds a run already. Continue it with --resume, or choose another folder.")
    }
  }

  private func show(_ event: Trainer.Event, _ reporter: Reporter) {
    switch event {
    case .step(let epoch, let step, let steps, let loss, let rate, let speed):
      reporter.progress(
        """
        \(bar(step, of: steps)) step \(step)/\(steps)  epoch \(epoch + 1)  loss \(format(loss, 3))  \(format(speed)) images/s
        """)
      reporter.emit(
        "step",
        [
          "epoch": .integer(epoch + 1), "step": .integer(step), "steps": .integer(steps),
          "loss": .number(loss),
          "learning_rate": .number(rate), "images_per_second": .number(speed),
        ])
    case .epoch(let epoch, let epochs, let loss, let validation):
      reporter.endProgress()
      var text = "epoch \(epoch)/\(epochs)  training loss \(format(loss, 3))"
      var fields: [String: JSONValue] = [
        "epoch": .integer(epoch), "epochs": .integer(epochs), "training_loss": .number(loss),
      ]
      if let validation {
        text += "  validation loss \(format(validation.loss, 3))  top-1 \(format(100 * validation.top1)) %"
        fields["validation_loss"] = .number(validation.loss)
        fields["top1"] = .number(validation.top1)
      }
      reporter.say(text)
      reporter.emit("epoch", fields)
    }
  }
}

/// Ctrl-C, as a question that training asks after every step.
private enum StopSignal {
  private static let raised = Atomic<Bool>(false)

  static var isRaised: Bool { raised.load(ordering: .relaxed) }

  static func install() {
    let stop: @convention(c) (Int32) -> Void = { number in
      StopSignal.raised.store(true, ordering: .relaxed)
      // A second Ctrl-C ends the process at once; the last checkpoint is whole.
      signal(number, SIG_DFL)
    }
    signal(SIGINT, stop)
    signal(SIGTERM, stop)
  }
}
