import GraftOps
public import GraftRuntime

/// Device memory that a run needs, in bytes, known before its first step.
///
/// It is found by rehearsing the steps: memory is handed out, pooled and taken back as in the run itself, and nothing is
/// computed. What the allocator reports after the run is ``peak``.
public struct MemoryPlan: Sendable, Hashable {
  /// Frozen weights, as the forward pass reads them.
  public var backbone: Int
  /// Frozen weights once more, as the gradients that pass through them need them; made by the first step.
  public var transposed: Int
  /// What is trained, its gradients, and running statistics.
  public var trainable: Int
  /// The optimiser's moments.
  public var optimizer: Int
  /// The most that a step holds besides: images, activations, their gradients and work space.
  public var step: Int

  /// The most that is held at once.
  public var peak: Int { backbone + transposed + trainable + optimizer + step }

  /// Plans the training of an adapter.
  ///
  /// - Parameters:
  ///   - shape: the backbone.
  ///   - adapter: what is grafted onto it.
  ///   - classes: number of classes.
  ///   - recipe: tells batch, optimiser and regularisation.
  ///   - trainingImages: how many there are; by default whole batches.
  ///   - validationImages: how many there are; by default whole batches.
  ///   - recomputation: as the ``Trainer`` will be told.
  ///   - context: the device and the precision of the frozen weights.
  /// - Throws: ``GraftError`` when the adapter does not fit the backbone; `RuntimeError` when a single tensor is larger
  ///   than the device allows.
  public static func training(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, recipe: TrainingRecipe,
    trainingImages: Int? = nil, validationImages: Int? = nil, recomputation: Recomputation = .norms,
    on context: Context
  ) throws -> MemoryPlan {
    let rehearsal = try Rehearsal(
      shape, adapter: adapter, classes: classes, recipe: recipe, recomputation: recomputation,
      on: context.rehearsal())
    return try rehearsal.training(
      batchSize: recipe.batchSize, images: trainingImages ?? .max, validationImages: validationImages ?? .max)
  }

  /// Plans the use of a model on batches of images.
  ///
  /// - Parameters:
  ///   - shape: the backbone.
  ///   - adapter: what is grafted onto it.
  ///   - classes: number of classes.
  ///   - batchSize: images at a time.
  ///   - context: the device and the precision of the frozen weights.
  /// - Throws: ``GraftError`` when the adapter does not fit the backbone; `RuntimeError` when a single tensor is larger
  ///   than the device allows.
  public static func inference(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, batchSize: Int, on context: Context
  ) throws -> MemoryPlan {
    try Rehearsal(shape, adapter: adapter, classes: classes, on: context.rehearsal())
      .inference(batchSize: batchSize)
  }
}

/// A model that goes through the motions of a run, for what they tell about memory.
package struct Rehearsal {
  private let model: GraftedModel
  private let trainer: Trainer?
  private let backbone, trainable, optimizer: Int

  /// - Parameters:
  ///   - recipe: of the training; without one the model is only used.
  ///   - context: where nothing is computed; see `Context.rehearsal(memoryLimit:)`.
  init(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, recipe: TrainingRecipe? = nil,
    recomputation: Recomputation = .norms, on context: Context
  ) throws {
    precondition(context.isRehearsal, "a rehearsal spoils no real memory")
    let memory = context.memory
    let vit = try Backbone(
      shape, weights: BlankWeights(), file: nil, resampling: .bicubicAntialias, on: context)
    backbone = memory.bytesInUse
    model = try GraftedModel(vit, adapter: adapter, classes: (0..<max(2, classes)).map { "\($0)" })
    trainable = memory.bytesInUse - backbone
    trainer = try recipe.map { [model] in try Trainer(model, recipe: $0, recomputation: recomputation)
    }
    optimizer = memory.bytesInUse - backbone - trainable
  }

  /// Steps and evaluations of a training in batches of `batchSize`.
  ///
  /// - Throws: `RuntimeError.outOfMemory` when they need more than the context's limit.
  func training(batchSize: Int, images: Int, validationImages: Int) throws -> MemoryPlan {
    let step = min(batchSize, images)
    let last = validationImages == .max ? 0 : validationImages % batchSize
    let evaluated = (validationImages >= batchSize ? [batchSize] : []) + (last > 0 ? [last] : [])
    return try plan {
      // The pool is as it will stay when everything has happened twice.
      for _ in 0..<2 {
        for _ in 0..<2 { try trainer?.stepInPlace(blank(step)) }
        for count in evaluated { try infer(count) }
      }
    }
  }

  /// Batches that are classified.
  ///
  /// - Throws: `RuntimeError.outOfMemory` when they need more than the context's limit.
  func inference(batchSize: Int) throws -> MemoryPlan { try plan { for _ in 0..<2 { try infer(batchSize) } } }

  private func plan(_ body: () throws -> Void) throws -> MemoryPlan {
    let memory = model.backbone.context.memory
    memory.resetPeak()
    try body()
    let lasting = memory.bytesInUse
    return MemoryPlan(
      backbone: backbone, transposed: lasting - backbone - trainable - optimizer, trainable: trainable,
      optimizer: optimizer, step: memory.peakBytes - lasting)
  }

  /// The kernels that were launched so far, or would have been.
  var kernels: [KernelKey] { model.backbone.context.log?.kernels ?? [] }

  /// The kernels that read a backbone's weights, train an adapter on it and evaluate it.
  package static func kernelsOfTraining(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, recipe: TrainingRecipe, images: Int,
    validationImages: Int, recomputation: Recomputation, on context: Context
  ) throws -> [KernelKey] {
    let rehearsal = try Rehearsal(
      shape, adapter: adapter, classes: classes, recipe: recipe, recomputation: recomputation,
      on: context.rehearsal())
    _ = try rehearsal.training(
      batchSize: recipe.batchSize, images: images, validationImages: validationImages)
    return rehearsal.kernels
  }

  /// The kernels that read a backbone's weights and answer for batches of images.
  static func kernelsOfInference(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, batchSize: Int, on context: Context
  ) throws -> [KernelKey] {
    let rehearsal = try Rehearsal(shape, adapter: adapter, classes: classes, on: context.rehearsal())
    _ = try rehearsal.inference(batchSize: batchSize)
    return rehearsal.kernels
  }

  /// What a model launches.
  package struct Launches: Sendable {
    /// To read the weights, and all that is made by the first step and the first answer alone.
    package let once: [Launch]
    /// In every training step, that of the optimiser included.
    package let step: [Launch]
    /// To answer for a batch.
    package let answer: [Launch]
  }

  /// What training steps and answers for batches of one size launch.
  package static func launches(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, recipe: TrainingRecipe, on context: Context
  ) throws -> Launches {
    let context = context.rehearsal()
    let rehearsal = try Rehearsal(shape, adapter: adapter, classes: classes, recipe: recipe, on: context)
    func count() -> Int { context.log?.launches.count ?? 0 }
    func step() throws { try rehearsal.trainer?.stepInPlace(rehearsal.blank(recipe.batchSize)) }
    func answer() throws { try rehearsal.infer(recipe.batchSize) }
    // Last a step: those that follow prepare again what it changed.
    try answer()
    try step()
    let once = count()
    try step()
    let trained = count()
    // A step makes what an answer keeps.
    try answer()
    let answered = count()
    try answer()
    let launches = context.log?.launches ?? []
    return Launches(
      once: Array(launches[..<once]), step: Array(launches[once..<trained]),
      answer: Array(launches[answered...]))
  }

  /// The largest batch below `count` whose training step stays within the context's limit; 0 when none does.
  func fittingBatchSize(below count: Int) -> Int {
    model.fittingBatchSize(below: count) { try trainer?.stepInPlace($0) }
  }

  private func infer(_ count: Int) throws {
    _ = try model.logits(of: blank(count), lastOnly: true, on: Tape())[0].floatsLater()
  }

  private func blank(_ count: Int) -> ImageBatch {
    let size = model.backbone.shape.imageSize
    return ImageBatch(
      count: count, imageSize: size, pixels: [UInt8](repeating: 0, count: count * size.count * 3),
      labels: [Int32](repeating: 0, count: count))
  }
}
