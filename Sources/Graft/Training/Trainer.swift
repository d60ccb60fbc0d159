package import GraftOps
import GraftSystem
public import SystemPackage

/// Trains a model's adapter and head; the backbone never changes.
///
/// A run is determined by recipe, seed and data: repeating it gives the same bits, and so does stopping and resuming it.
public final class Trainer {
  /// What happens during a run.
  public enum Event: Sendable {
    /// A step is done; `loss` is that of the step: with several heads, the weighted mean of theirs.
    case step(epoch: Int, step: Int, steps: Int, loss: Double, learningRate: Double, imagesPerSecond: Double)
    /// A pass is done; `validation` is there if it was evaluated.
    case epoch(epoch: Int, epochs: Int, trainingLoss: Double, validation: Evaluation?)
  }

  /// What a finished or interrupted run amounts to.
  public struct Result: Sendable {
    /// Validation after the last pass; `nil` when the run was interrupted before the first.
    public var validation: Evaluation?
    /// Best validation accuracy of all passes.
    public var bestTop1: Double
    /// Steps done.
    public var steps: Int
    /// Training images a second, decoding included and evaluation excluded.
    public var trainingImagesPerSecond: Double
    /// Most bytes held on the device.
    public var peakDeviceBytes: Int
    /// True when the run was asked to stop; it can be resumed.
    public var wasInterrupted: Bool
  }

  /// The file in the output folder that a run is resumed from.
  public static let checkpointName = "checkpoint.safetensors"

  let model: GraftedModel
  let recipe: TrainingRecipe
  private let seed: UInt64
  private let output: FilePath?
  private let transform: JSONValue
  let recomputation: Recomputation
  private let optimizer: any Optimizer
  let features: FeatureStorage
  /// What was rehearsed last: who shows a plan before a run asks twice for the same.
  var lastPlan: (counts: [Int], plan: MemoryPlan)?
  /// Where a run that fails puts the model back to.
  private var restorePoint: RestorePoint?
  /// The checkpoint that was there when this trainer looked last.
  private var checkpointBefore: FileStamp?

  /// Prepares a run.
  ///
  /// - Parameters:
  ///   - model: the model; trained in place.
  ///   - recipe: how.
  ///   - seed: determines order, augmentation and dropout.
  ///   - output: folder for the adapter (last, and best in `best/`), the checkpoint and `metrics.jsonl`; `nil` keeps
  ///     everything in memory.
  ///   - transform: how images are prepared; recorded in the adapter's folder.
  ///   - recomputation: what is not kept but computed again when its gradient is due: the same bits in less memory and
  ///     more time.
  ///   - features: where the output of blocks below the adapter is kept from pass to pass; not for images that are
  ///     augmented at random, nor in training with `backboneDropout` or `dropPath`.
  /// - Throws: ``GraftError`` for a bad recipe; `CheckpointError` when the folder cannot be written: now, not after
  ///   hours of training.
  public init(
    _ model: GraftedModel, recipe: TrainingRecipe, seed: UInt64 = 0, output: FilePath? = nil,
    transform: JSONValue = .object([:]), recomputation: Recomputation = .norms,
    features: FeatureStorage = .standard
  ) throws {
    try recipe.validate()
    self.model = model
    self.recipe = recipe
    self.seed = seed
    self.output = output
    self.transform = transform
    self.recomputation = recomputation
    self.features = features
    optimizer =
      switch recipe.optimizer {
      case .adamW(let beta1, let beta2, let epsilon):
        try AdamW(
          model.arena,
          .init(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: recipe.weightDecay))
      case .sgd(let momentum, let nesterov):
        try SGD(
          model.arena, .init(momentum: momentum, isNesterov: nesterov, weightDecay: recipe.weightDecay))
      }
    if let output {
      // What the adapter's file could not say is refused now, not when it is saved.
      if let fault = try model.manifest(transform: transform).fault {
        throw GraftError.badOutput(folder: output, reason: "the model cannot be saved: \(fault).")
      }
      let backbone = FileStamp(model.backbone.file?.path)
      for name in [AdapterFolder.weightsName, Self.checkpointName] {
        guard backbone == nil || FileStamp(output / name) != backbone else {
          throw GraftError.badOutput(
            folder: output, reason: "its \(name) is the backbone's own file. Choose another folder.")
        }
      }
      // Adapter twice (last and best) and the checkpoint with two moments.
      try AtomicFile.createFolder(output)
      try AtomicFile.requireWritable(folder: output, neededBytes: model.arena.count * 4 * 6)
    }
    checkpointBefore = FileStamp(checkpoint)
  }

  /// Refuses to go on with a run that other settings began, before anything is loaded.
  ///
  /// - Parameters:
  ///   - output: the run's folder; all is well where it holds no checkpoint.
  ///   - adapter: what will be trained.
  ///   - recipe: how.
  ///   - seed: of the run.
  /// - Throws: ``GraftError/cannotResume(folder:reason:)``; `CheckpointError` for a damaged file.
  public static func checkCheckpoint(
    in output: FilePath, adapter: any Adapter, recipe: TrainingRecipe, seed: UInt64
  ) throws {
    let path = output / checkpointName
    guard path.exists else { return }
    let identity = try TrainingState.stored(in: SafetensorsFile(path: path)).identity
    var expected = identity
    (expected.adapter, expected.recipe, expected.seed) = (try JSONValue(encoding: adapter), recipe, seed)
    if let difference = identity.difference(from: expected) {
      throw GraftError.cannotResume(
        folder: output, reason: "\(difference) differs from the interrupted run's.")
    }
  }

  /// Runs the recipe.
  ///
  /// A run that throws puts the model back to where its last whole pass ended, or to where it was before: after
  /// something that passes, such as a lack of memory, the run can be tried again, with `resumes` from its last checkpoint.
  ///
  /// - Parameters:
  ///   - training: images to learn from.
  ///   - validation: images to judge by.
  ///   - evaluatesEvery: passes from one evaluation to the next; the last pass is always evaluated.
  ///   - resumes: continue from the output folder's checkpoint, if there is one.
  ///   - shouldStop: asked after every step; `true` saves and ends the run.
  ///   - onEvent: told of every step and pass.
  /// - Throws: ``GraftError/lossNotFinite(step:checkpoint:)`` or
  ///   ``GraftError/gradientNotFinite(step:tensor:checkpoint:)`` (the last good checkpoint stays),
  ///   ``GraftError/batchDoesNotFit(batch:fitting:reason:)``, ``GraftError/cannotResume(folder:reason:)``,
  ///   ``GraftError/badOutput(folder:reason:)`` while another run trains into the folder, and whatever the sources or the
  ///   device throw.
  nonisolated(nonsending) public func run(
    training: any BatchSource, validation: any BatchSource, evaluatesEvery: Int = 1, resumes: Bool = false,
    shouldStop: @Sendable () -> Bool = { false }, onEvent: (Event) throws -> Void = { _ in }
  ) async throws -> Result {
    guard evaluatesEvery > 0 else {
      throw GraftError.badSetting(
        name: "evaluation interval", value: "\(evaluatesEvery)", reason: "it must be at least 1.")
    }
    for source in [training, validation] { _ = try LabelMap(from: source, to: model.classes) }
    try model.requireWhole()
    let lock = try output.map { try FolderLock($0) }
    defer { withExtendedLifetime(lock) {} }
    if let output {
      if !resumes, FileStamp(checkpoint) != checkpointBefore {
        throw GraftError.badOutput(
          folder: output, reason: "another run has trained into it meanwhile. Choose another folder.")
      }
      for folder in [output, output / "best"] { AtomicWrite.removeLeftovers(in: folder) }
    }
    try requireMemory(trainingImages: training.count, validationImages: validation.count)
    restorePoint = try RestorePoint(model, optimizer, step: 0)
    defer {
      restorePoint = nil
      checkpointBefore = FileStamp(checkpoint)
    }
    do {
      return try await passes(
        training: training, validation: validation, evaluatesEvery: evaluatesEvery, resumes: resumes,
        shouldStop: shouldStop, onEvent: onEvent)
    } catch {
      goBack()
      throw error
    }
  }

  private nonisolated(nonsending) func passes(
    training: any BatchSource, validation: any BatchSource, evaluatesEvery: Int, resumes: Bool,
    shouldStop: @Sendable () -> Bool, onEvent: (Event) throws -> Void
  ) async throws -> Result {
    let context = model.backbone.context
    let labels = try LabelMap(from: training, to: model.classes)
    let products = try MatmulVariant.choose(nil, on: context, precision: context.precision)
    let identity = TrainingState.Identity(
      recipe: recipe, seed: seed, adapter: try JSONValue(encoding: model.adapter),
      backboneHash: model.backbone.file?.contentHash ?? "random",
      shape: .init(model.backbone.shape.architecture),
      positionResampling: model.backbone.positionResampling,
      precision: context.precision, classes: model.classes,
      trainingImages: training.count, trainingData: output == nil ? "" : labels.fingerprint(of: training),
      tuning: context.tuning.arithmetic(on: context.traits),
      products: products.multipliesBFloats ? products : nil, arithmetic: model.backbone.shape.arithmetic)
    var state = TrainingState(identity: identity)
    if resumes, let checkpoint, checkpoint.exists {
      state = try TrainingState.read(from: checkpoint, expecting: identity, into: model, optimizer)
      restorePoint = try RestorePoint(model, optimizer, step: state.step)
    }
    try model.arena.clearGradients()
    let metrics = try MetricsFile(folder: output, keepingStepsThrough: state.step)
    context.memory.resetPeak()
    // Thresholds of an earlier training mean nothing for the new one.
    model.calibration = nil

    let caches = try featureCaches(trainingImages: training.count)
    let batches = max(1, training.count / recipe.batchSize)
    let stepsPerEpoch = (batches + recipe.accumulation - 1) / recipe.accumulation
    let steps = stepsPerEpoch * recipe.epochs
    var throughput = Throughput()
    var lastValidation: Evaluation?
    var interrupted = false
    var ahead: PassAhead?
    defer { ahead?.cancel() }
    /// Has the sources make what the pass after this one begins with.
    func lookAhead() {
      guard ahead == nil, state.epoch + 1 < recipe.epochs else { return }
      ahead = pass(state.epoch + 1)
    }
    func pass(_ epoch: Int) -> PassAhead {
      PassAhead(
        training.batches(
          epoch: epoch, batchSize: recipe.batchSize, imageSize: model.backbone.shape.imageSize, seed: seed,
          training: true))
    }

    passes: while state.epoch < recipe.epochs {
      throughput.resume()
      var micro: [PendingFloats] = []
      var images = 0
      var unread: UnreadStep?
      /// Looks at the losses of the last step whose work was queued.
      func settle() throws {
        guard let step = unread else { return }
        unread = nil
        let loss = try step.losses.map { Double(try $0.wait()[0]) }.reduce(0, +) / Double(step.losses.count)
        guard loss.isFinite else {
          throw GraftError.lossNotFinite(step: step.number, checkpoint: keptCheckpoint)
        }
        guard try step.gradientNorm.wait()[0].isFinite else {
          throw GraftError.gradientNotFinite(
            step: step.number, tensor: try damagedTensor(), checkpoint: keptCheckpoint)
        }
        state.lossSum += loss
        state.losses += 1
        throughput.finished(step.images)
        let event = Event.step(
          epoch: state.epoch, step: step.number, steps: steps, loss: loss, learningRate: step.learningRate,
          imagesPerSecond: throughput.imagesPerSecond)
        try metrics.write(event)
        try onEvent(event)
      }
      func finishStep() throws {
        let rate = recipe.schedule.rate(
          step: state.step, of: steps, stepsPerEpoch: stepsPerEpoch, peak: recipe.learningRate)
        // The host looks at the loss of the step before while the device works on this one's gradients. They are not
        // applied yet: what damaged the step before can still be told.
        try settle()
        let norm = try update(learningRate: rate, step: state.step)
        state.step += 1
        unread = UnreadStep(
          number: state.step, losses: micro, gradientNorm: norm, images: images, learningRate: rate)
        micro = []
        images = 0
      }
      var current = ahead ?? pass(state.epoch)
      ahead = nil
      var position = 0
      while let batch = try await current.next() {
        defer { position += 1 }
        if position == batches - 1 { lookAhead() }
        if position < state.batchesDone { continue }
        let group = position / recipe.accumulation * recipe.accumulation
        let groupSize = min(recipe.accumulation, batches - group)
        micro.append(
          try accumulate(
            labels.matched(batch), share: 1 / Float(groupSize), state: state, part: position - group,
            cache: caches.training))
        images += batch.count
        guard position - group == groupSize - 1 else { continue }
        try finishStep()
        state.batchesDone = position + 1
        if shouldStop(), state.batchesDone < batches {
          interrupted = true
          try settle()
          restorePoint = try RestorePoint(model, optimizer, step: state.step)
          try save(state)
          break passes
        }
      }
      lookAhead()
      // Skipped images can leave the last group incomplete.
      if !micro.isEmpty { try finishStep() }
      try settle()
      state.epoch += 1
      state.batchesDone = 0
      // Whatever is written below is what this has found to be finite.
      let point = try RestorePoint(model, optimizer, step: state.step)

      var evaluation: Evaluation?
      if state.epoch % evaluatesEvery == 0 || state.epoch == recipe.epochs {
        // The last evaluation computes everything again, so that its speed is the speed of use.
        let cache = state.epoch == recipe.epochs ? nil : caches.validation
        let result = try await model.evaluate(validation, batchSize: recipe.batchSize, cache: cache)
        evaluation = result
        lastValidation = result
        if let output, result.top1 > state.bestTop1 {
          try model.save(to: output / "best", transform: transform)
        }
        state.bestTop1 = max(state.bestTop1, result.top1)
      }
      try caches.training?.flush()
      try caches.validation?.flush()
      let event = Event.epoch(
        epoch: state.epoch, epochs: recipe.epochs,
        trainingLoss: state.lossSum / Double(max(state.losses, 1)), validation: evaluation)
      (state.lossSum, state.losses) = (0, 0)
      try metrics.write(event)
      if let output { try model.save(to: output, transform: transform) }
      restorePoint = point
      try save(state)
      try onEvent(event)
      if shouldStop(), state.epoch < recipe.epochs {
        interrupted = true
        break
      }
    }
    if lastValidation == nil, !interrupted {
      // A resumed run that was already complete.
      lastValidation = try await model.evaluate(validation, batchSize: recipe.batchSize)
    }
    return Result(
      validation: lastValidation, bestTop1: max(state.bestTop1, 0), steps: state.step,
      trainingImagesPerSecond: throughput.imagesPerSecond,
      peakDeviceBytes: model.backbone.context.memory.peakBytes, wasInterrupted: interrupted)
  }

  /// A step whose work is queued and whose losses the host has not looked at yet.
  private struct UnreadStep {
    let number: Int
    let losses: [PendingFloats]
    let gradientNorm: PendingFloats
    let images: Int
    let learningRate: Double
  }

  private var checkpoint: FilePath? { output.map { $0 / Self.checkpointName } }

  /// The checkpoint, if one has been written.
  private var keptCheckpoint: FilePath? {
    checkpoint.flatMap { $0.exists ? $0 : nil }
  }

  private func save(_ state: TrainingState) throws {
    guard let checkpoint, let restorePoint else { return }
    try state.write(restorePoint, to: checkpoint)
  }

  /// After a failure: half a step, or half a checkpoint that was read, is nobody's model.
  private func goBack() {
    do {
      try restorePoint?.restore(model, optimizer)
      try model.backbone.context.finish()
    } catch {
      model.damage = "\(error)"
    }
  }

  /// The tensor that a gradient has damaged: the last of the model's tensors, from where NaN spreads downwards.
  private func damagedTensor() throws -> String? {
    // The class token is declared last and lies below all others.
    let parameters = model.arena.parameters
    let fromAbove = parameters.filter { $0.name != "cls_token" }.reversed() + parameters
    return try fromAbove.first { try !$0.value.floats().allSatisfy(\.isFinite) }?.name
  }

  /// Adds a batch's gradients, times `share`; returns its loss.
  private func accumulate(
    _ batch: ImageBatch, share: Float, state: TrainingState, part: Int, cache: FeatureCache?
  ) throws -> PendingFloats {
    try fittingBatch(batch.count) {
      let loss = try Self.loss(
        model, batch, recipe: recipe, seed: stepSeed(state.step, part), share: share,
        progress: Double(state.epoch) / Double(recipe.epochs), recomputation: recomputation,
        cache: cache)
      return try loss.floatsLater()
    }
  }

  /// Forward and backward of one batch.
  ///
  /// Gradients of the sum of the heads' losses, each times its weight, are added to the model's arena.
  ///
  /// - Parameters:
  ///   - share: factor on all gradients.
  ///   - progress: of training, in 0...1; the heads' weights depend on it.
  ///   - recomputation: what is computed again for its gradient.
  /// - Returns: the weighted mean of the heads' losses, [1].
  package static func loss(
    _ model: GraftedModel, _ batch: ImageBatch, recipe: TrainingRecipe, seed: UInt64, share: Float,
    progress: Double = 0, recomputation: Recomputation = .norms
  ) throws -> Tensor {
    try loss(
      model, batch, recipe: recipe, seed: seed, share: share, progress: progress,
      recomputation: recomputation, cache: nil)
  }

  private static func loss(
    _ model: GraftedModel, _ batch: ImageBatch, recipe: TrainingRecipe, seed: UInt64, share: Float,
    progress: Double, recomputation: Recomputation, cache: FeatureCache?
  ) throws -> Tensor {
    let tape = Tape(.training(seed: seed), recomputation: recomputation)
    let logits = try model.logits(
      of: batch, lastOnly: false, cache: cache,
      regularization: recipe.regularization, on: tape)
    return try weightedLoss(
      logits, labels: Tensor(indices: batch.labels, on: model.backbone.context),
      smoothing: recipe.labelSmoothing, weights: model.lossWeights(progress), share: share, on: tape)
  }

  /// The weighted mean of the heads' losses, [1]; adds the gradients of `share` times their weighted sum.
  static func weightedLoss(
    _ logits: [Tensor], labels: Tensor, smoothing: Float, weights: [Float], share: Float, on tape: Tape
  ) throws -> Tensor {
    precondition(weights.count == logits.count, "one weight a head")
    let losses = try logits.map { try tape.crossEntropy($0, labels: labels, smoothing: smoothing) }
    try tape.backward(
      from: zip(losses, weights).map { ($0, try Tensor([share * $1], shape: [1], on: labels.context)) })
    let total = weights.reduce(0, +)
    let parts = try zip(losses, weights).map { $1 == total ? $0 : try Elementwise.scale($0, by: $1 / total) }
    return try parts.dropFirst().reduce(parts[0], Elementwise.add)
  }

  /// One whole step at a learning rate of zero, for measurements and rehearsals.
  package func stepInPlace(_ batch: ImageBatch) throws {
    _ = try Self.loss(model, batch, recipe: recipe, seed: 0, share: 1, recomputation: recomputation)
      .floatsLater()
    _ = try update(learningRate: 0, step: 0)
  }

  /// Moves the parameters.
  ///
  /// - Returns: the norm of the gradients, before clipping.
  private func update(learningRate: Double, step: Int) throws -> PendingFloats {
    try GradientMask.apply(
      to: model.arena, first: model.adapterTensorCount, probability: model.gradientDrop,
      seed: stepSeed(step, 0))
    let norm =
      recipe.clip > 0
      ? try GradientClipping.clip(model.arena, to: recipe.clip) : try GradientClipping.norm(model.arena)
    let pending = try norm.floatsLater()
    try optimizer.step(learningRate: Float(learningRate))
    try model.arena.clearGradients()
    return pending
  }

  /// Random numbers of a step depend on the run's seed and the step alone.
  private func stepSeed(_ step: Int, _ part: Int) -> UInt64 {
    var generator = SplitMix64(seed: seed ^ (UInt64(step) << 20) ^ UInt64(part))
    return generator.next()
  }
}
