// Lists, a line of JSON each, the kernels that Graft would launch on GPUs, with their macros and groups.
//
// Nothing runs: models and operations are rehearsed on the first OpenCL device under the traits of each chip. tools/gpu
// reads the list and compiles it, so that what is judged is what the host asks for.
//
// Usage: GPULaunches [models|all] [CHIP ...]
//        GPULaunches run CHIP     launches them in earnest, for a simulator that watches memory: one small block, a training
//                                 step with each adapter

import Graft
import GraftCases
import GraftOps
import GraftRuntime
import GraftSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A kernel in one build and group, with the largest range that it was seen to run over.
private struct Line: Encodable {
  let chip: String
  let file: String
  let function: String
  let options: String
  let group: [Int]
  var global: [Int]
  /// The model or operation that launches it first.
  let purpose: String
}

private struct Build: Hashable {
  let kernel: KernelKey
  let group: [Int]
}

/// What one chip is given.
private struct Listing {
  let device: Device
  let chip: Chip
  private var order: [Build] = []
  private var lines: [Build: Line] = [:]

  init(_ chip: Chip, standIn: Device) {
    device = chip.standIn(standIn)
    self.chip = chip
  }

  /// Whatever is checked on a device before its first use is listed as if it were right.
  private func context(_ precision: StoragePrecision = .fp32) throws -> Context {
    let context = try Context(device, precision: precision)
    context.selfChecks.trust(Shuffles.name)
    return context
  }

  mutating func add(_ launches: [Launch], for purpose: String) {
    for launch in launches {
      let build = Build(kernel: launch.kernel, group: launch.group)
      if let known = lines[build] {
        if known.global.reduce(1, *) < launch.global.reduce(1, *) { lines[build]?.global = launch.global }
      } else {
        order.append(build)
        lines[build] = Line(
          chip: chip.name, file: launch.kernel.file, function: launch.kernel.function,
          options: launch.kernel.options, group: launch.group, global: launch.global, purpose: purpose)
      }
    }
  }

  /// Every adapter on the backbone of the papers, and every kind of backbone as it is.
  mutating func addModels() throws {
    for precision in StoragePrecision.allCases {
      let context = try context(precision)
      for batch in [1, 8, 32] {
        try add("vit_base_patch16_224", AdapterCatalog.all, batch, on: context)
      }
    }
    let context = try context()
    // Wider ones differ in sizes alone, and a rehearsal fills memory for their weights.
    for entry in BackboneCatalog.all where try entry.architecture.shape().featureWidth <= 768 {
      try add(entry.name, [LinearProbe()], 8, on: context)
    }
  }

  private mutating func add(
    _ backbone: String, _ adapters: [any Adapter], _ batch: Int, on context: Context
  ) throws {
    let shape = try BackboneCatalog.named(backbone).shape()
    for adapter in adapters {
      var recipe = try TrainingRecipe.preset("quick", for: adapter)
      recipe.batchSize = batch
      let launches = try Rehearsal.launches(
        shape, adapter: adapter, classes: 100, recipe: recipe, on: context)
      add(
        launches.once + launches.step + launches.answer,
        for: "\(backbone), \(adapter.name), \(context.precision.rawValue), batch \(batch)")
    }
  }

  /// Products by matrix units, which are off until a device has been tuned: each way that a tuning may choose.
  mutating func addUnits() throws {
    guard let unit = device.traits.matrixUnit else { return }
    for shape in MatmulUnits.candidates(unit) {
      let untuned = try context(.bf16)
      untuned.selfChecks.trust(MatrixUnits.name(shape))
      var tuning = untuned.tuning
      tuning.matmul.units = shape
      try add("vit_base_patch16_224", [LoRA()], 8, on: untuned.tuned(tuning))
    }
  }

  /// Every operation at the shapes at which it is tested and measured.
  mutating func addOperations() throws {
    let context = try context()
    let traits = device.traits
    for operation in AllCases.checks(on: traits) + AllCases.benchmarks(on: traits)
    where !operation.holdsRegisterTiles {
      add(try operation.launches(on: context), for: operation.description)
    }
  }

  func write() throws {
    for build in order { if let line = lines[build] { print(try JSON.text(of: line)) } }
  }
}

/// One block under each adapter, of few tokens and channels: what is beside them in memory is as in a large one, and a
/// simulator takes seconds for what a GPU does in microseconds.
private func run(_ chip: Chip, standIn: Device) throws {
  let architecture = ViT(
    imageSize: 64, patchSize: 16, width: 256, depth: 1, heads: 4, hiddenWidth: 512, hasLayerScale: false,
    epsilon: 1e-6, normalization: .half)
  let context = try Context(chip.standIn(standIn))
  let backbone = try Backbone(randomly: architecture, on: context)
  let batch = ImageBatch(
    count: 1, imageSize: architecture.imageSize,
    pixels: [UInt8](repeating: 99, count: architecture.imageSize.count * 3), labels: [0])
  for adapter in AdapterCatalog.all {
    let model = try GraftedModel(backbone, adapter: adapter, classes: (0..<100).map { "\($0)" })
    try Trainer(model, recipe: .preset("quick", for: adapter)).stepInPlace(batch)
    try context.finish()
  }
}

private let words = CommandLine.arguments.dropFirst()
private let asked = words.filter { !["models", "all", "run"].contains($0) }
private let chips = asked.isEmpty ? Chip.all : Chip.all.filter { asked.contains($0.name) }
guard chips.count == (asked.isEmpty ? Chip.all.count : asked.count) else {
  let text = "Chips are \(Chip.all.map(\.name).joined(separator: ", ")).\n"
  _ = text.withCString { write(STDERR_FILENO, $0, text.utf8.count) }
  exit(64)
}
private let standIn = try Device.select()
if words.contains("run") {
  for chip in chips { try run(chip, standIn: standIn) }
  exit(0)
}
for chip in chips {
  var listing = Listing(chip, standIn: standIn)
  try listing.addModels()
  try listing.addUnits()
  if !words.contains("models") { try listing.addOperations() }
  try listing.write()
}
