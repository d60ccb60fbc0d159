import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

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

      \(RecipeArguments.presets)
      """)

  @OptionGroup var backbone: BackboneArguments
  @OptionGroup var data: DataArguments
  @OptionGroup var adapter: AdapterArguments
  @Option(help: "Folder for the results.")
  var out: FilePath
  @Option(help: "\(TrainingRecipe.presetNames.joined(separator: ", ")).")
  var preset = "quick"
  @OptionGroup var changes: RecipeArguments
  @Option(help: "Passes from one evaluation to the next; the last is always evaluated.")
  var evaluateEvery = 1
  @Option(help: "Determines initial values, order, augmentation and dropout.") var seed: UInt64 = 0
  @Flag(help: "Continue the run in OUT to the same bits as if it had not stopped.") var resume = false
  @OptionGroup var memory: MemoryArguments
  @OptionGroup var features: FeatureArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json, offersSkipping: !data.skipBroken)
    try await reporter.run { try await train(reporter) }
  }

  private func train(_ reporter: Reporter) async throws {
    let adapter = try adapter.make()
    let recipe = try changes.recipe(preset, for: adapter)
    try refuseToOverwrite()

    let (options, shape) = try backbone.prepared(for: recipe)
    let kept = try data.keptPictures()
    let (training, validation) = try data.folders(
      recipe, imageSize: shape.imageSize, keeping: kept, reporter)

    let context = try device.context(precision.precision.value)
    let (images, held) = (training.count, validation.count)
    let (classes, recomputation) = (training.classNames.count, memory.recompute.value)
    let vit = try context.preparing({
      try Rehearsal.kernelsOfTraining(
        shape, adapter: adapter, classes: classes, recipe: recipe, images: images, validationImages: held,
        recomputation: recomputation, on: context)
    }) { try Backbone(path: backbone.backbone, options: options, on: context) }
    let model = try GraftedModel(vit, adapter: adapter, classes: training.classNames, seed: seed)
    let trainer = try Trainer(
      model, recipe: recipe, seed: seed, output: out, transform: JSONValue(encoding: training.transform),
      recomputation: memory.recompute.value, features: features.storage())
    // Another process may have begun and ended a run while the backbone was loaded.
    try refuseToOverwrite()
    let name = adapter.name
    reporter.say(
      """
      \(name) on \(vit.shape.architecture.name) at \(shape.imageSize) px: \(grouped(model.summary.trainableParameters)) trainable \
      parameters, \(format(model.summary.gmac, 2)) GMAC an image
      \(training.count) training and \(validation.count) validation images of \(training.classNames.count) classes, on \
      \(context.traits.name)
      """)

    let assumptions = Assumptions(vit.assumed, of: vit.shape.architecture)
    reporter.sayRemarks(on: vit.reading)

    let plan = try trainer.memoryPlan(trainingImages: training.count, validationImages: validation.count)
    reporter.say(
      "Device memory: \(formatBytes(plan.peak)), of which a step's activations \(formatBytes(plan.step))")
    reporter.emit("memory", plan.json.objectValue ?? [:])

    try show(
      training.transform.isRandom ? nil : trainer.featurePlan(trainingImages: training.count), shape, reporter
    )

    let pictures = PicturePlan(training, validation, imageSize: shape.imageSize, kept: kept)
    reporter.say("\(pictures.line)")
    reporter.emit("pictures", pictures.json(scaled: data.decoding.scaledDecoding))

    StopSignal.install()
    let result = try await trainer.run(
      training: training, validation: validation, evaluatesEvery: evaluateEvery, resumes: resume,
      shouldStop: { StopSignal.isWanted }
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
        "image_size": JSONValue(shape.imageSize), "seed": .integer(Int(truncatingIfNeeded: seed)),
        "assumed": assumptions.json, "out": JSONValue(out),
      ])
  }

  /// Says what is computed once for all passes.
  private func show(_ plan: Trainer.FeaturePlan?, _ shape: BackboneShape, _ reporter: Reporter) {
    guard let plan else {
      if features.isFolder {
        reporter.note(
          "Nothing to keep in \(features.cacheFeatures): \(adapter.adapter) leaves no block as it is, or images or "
            + "branches are changed at random.")
      }
      return
    }
    let size = formatBytes(plan.bytes)
    reporter.say(
      "Blocks below the adapter: \(plan.blocks) of \(shape.depth), "
        + (plan.fits
          ? "computed once an image (\(size) of features)"
          : "computed in every pass: \(size) of features are beyond --cache-limit"))
    reporter.emit(
      "features",
      ["blocks": .integer(plan.blocks), "bytes": .integer(plan.bytes), "kept": .bool(plan.fits)])
  }

  /// A finished or interrupted run is not overwritten by accident.
  private func refuseToOverwrite() throws {
    guard !resume else { return }
    for name in [Trainer.checkpointName, AdapterFolder.manifestName]
    where (out / name).exists {
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
      var text: Message = "epoch \(epoch)/\(epochs)  training loss \(format(loss, 3))"
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
