// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftData
import GraftOps
import GraftRuntime
import GraftSystem
import Testing

@testable import Graft

/// Every OpenCL call of a load, a prediction, a training step and a whole run is made to fail, one at a time: the error
/// is ours, nothing leaks, and afterwards the same call gives the bits of a run that was never disturbed, or says that
/// the device is lost.
@Suite(.serialized) struct FaultTests {
  /// A device with a backbone and a model, watched from the beginning.
  private final class World {
    let watch = CallWatch()
    let context: Context
    private(set) var vit: Backbone
    private(set) var model: GraftedModel
    private let adapter: String
    private let file: FilePath

    init(_ adapter: String, _ file: FilePath) throws {
      (self.adapter, self.file) = (adapter, file)
      context = try watch { try Context(Device.select()) }
      (vit, model) = try watch { [context] in try Self.load(adapter, file, on: context) }
    }

    private static func load(_ adapter: String, _ file: FilePath, on context: Context) throws -> (
      Backbone, GraftedModel
    ) {
      let vit = try Backbone(path: file, options: .init(heads: 2), on: context)
      return (
        vit, try GraftedModel(vit, adapter: TinyViT.adapter(adapter), classes: GraftedModel.names, seed: 5)
      )
    }

    /// The model as it was made.
    func renewModel() throws {
      model = try watch {
        try GraftedModel(vit, adapter: TinyViT.adapter(adapter), classes: GraftedModel.names, seed: 5)
      }
    }

    /// What an app does with a new device, on the same: another would compile everything again.
    func recover() throws {
      context.forgetLoss()
      (vit, model) = try watch { try Self.load(adapter, file, on: context) }
    }

    /// Objects that live when nothing is under way and the pool is empty, without programs: those stay.
    func live() throws -> [String: Int] {
      try context.finish()
      context.memory.resetPeak()
      return watch.live.filter { $0.key != "cl_program" && $0.key != "cl_kernel" }
    }
  }

  nonisolated(nonsending) private static func train(
    _ model: GraftedModel, images: Int, epochs: Int, folder: FilePath? = nil, resumes: Bool = false
  ) async throws -> [String: [UInt32]] {
    var recipe = TinyViT.recipe
    recipe.epochs = epochs
    let trainer = try Trainer(model, recipe: recipe, seed: 5, output: folder)
    _ = try await trainer.run(
      training: TinyViT.images(images), validation: TinyViT.images(5), resumes: resumes)
    return try model.bits()
  }

  /// Tries every planned fault on `body`, which must give the same value each time it is called on a new model.
  ///
  /// - Parameters:
  ///   - few: how many faults of each name are tried by default.
  ///   - elsewhere: `body` works on a device that it opens itself.
  ///   - only: which calls are made to fail.
  ///   - isUntouched: whether the model is as it was before, after a failure.
  ///   - retry: what is done after a failure; must give the value of an undisturbed `body`.
  nonisolated(nonsending) private func tryFaults<Value: Equatable>(
    _ name: String, on make: () throws -> World, few: Int = 3, elsewhere: Bool = false,
    only: (String) -> Bool = { _ in true },
    isUntouched: (World) throws -> Bool = { _ in true },
    retry: (nonisolated(nonsending) (World) async throws -> Value)? = nil,
    _ body: nonisolated(nonsending) (World) async throws -> Value
  ) async throws {
    let watch = try await tryFaults(name, on: make(), few, elsewhere, only, isUntouched, retry, body)
    #expect(watch.live == [:], "\(name) leaks")
  }

  nonisolated(nonsending) private func tryFaults<Value: Equatable>(
    _ name: String, on world: World, _ few: Int, _ elsewhere: Bool, _ only: (String) -> Bool,
    _ isUntouched: (World) throws -> Bool,
    _ retry: (nonisolated(nonsending) (World) async throws -> Value)?,
    _ body: nonisolated(nonsending) (World) async throws -> Value
  ) async throws -> CallWatch {
    let expected = try await world.watch { try await body(world) }
    try world.renewModel()
    world.watch.arm()
    #expect(try await world.watch { try await body(world) } == expected, "the same bits each time")
    let calls = world.watch.calls.filter { only($0.key) }
    try world.renewModel()
    let live = try world.live()
    var (struck, failed, lost) = (0, 0, 0)

    for fault in Faults.plan(calls, few: few) {
      let what: Comment = "\(name): \(fault.description)"
      try world.renewModel()
      world.watch.arm(fault)
      do {
        let value = try await world.watch { try await body(world) }
        #expect(value == expected, what)
        if world.watch.hasFired {
          struck += 1
          #expect(Faults.canBeSilent(fault.function), "\(what) was not noticed")
        }
        world.watch.arm()
      } catch {
        world.watch.arm()
        struck += 1
        failed += 1
        #expect(Faults.isTyped(error), "\(what): \(error)")
        if Faults.isLoss(error) {
          lost += 1
          if !elsewhere {
            let again = await failure { try await world.watch { try await body(world) } }
            #expect(again.map { Faults.isLoss($0) || $0 is GraftError } ?? false, "\(what): says so once")
            try world.recover()
          }
        } else {
          #expect(try isUntouched(world), "\(what): the model has changed")
        }
        let value = try await world.watch {
          if let retry { try await retry(world) } else { try await body(world) }
        }
        #expect(value == expected, "\(what): another result at the second try")
      }
      try world.renewModel()
      let now = try world.live()
      #expect(now == live, "\(what) leaks")
    }
    print("\(name): \(calls.values.reduce(0, +)) calls, \(struck) faults, \(failed) errors, \(lost) losses")
    return world.watch
  }

  nonisolated(nonsending) private func failure<Value>(
    of body: nonisolated(nonsending) () async throws -> Value
  ) async -> (any Error)? {
    do {
      _ = try await body()
      return nil
    } catch {
      return error
    }
  }

  private func withBackbone(_ body: (_ file: FilePath, _ folder: FilePath) async throws -> Void) async throws
  {
    try await Fixtures.withFolder { folder in
      let file = folder / "vit.safetensors"
      try TinyViT.write(to: file)
      try await body(file, folder)
    }
  }

  // MARK: One fault

  @Test(arguments: TinyViT.adapters) func predicting(_ adapter: String) async throws {
    try await withBackbone { file, _ in
      let batch = Fixtures.noise(3, size: TinyViT.shape.imageSize)
      try await tryFaults("predict \(adapter)", on: { try World(adapter, file) }) { world in
        try world.model.logits(batch).joined().map(\.bitPattern)
      }
    }
  }

  @Test(arguments: TinyViT.adapters) func oneTrainingStep(_ adapter: String) async throws {
    try await withBackbone { file, _ in
      let before = try World(adapter, file).model.bits()
      try await tryFaults(
        "step \(adapter)", on: { try World(adapter, file) }, isUntouched: { try $0.model.bits() == before }
      ) { world in
        try await Self.train(world.model, images: 4, epochs: 1)
      }
    }
  }

  @Test(arguments: Faults.someAdapters) func aRunWithAFolder(_ adapter: String) async throws {
    try await withBackbone { file, folder in
      var number = 0
      var name: FilePath { folder / "\(number)" }
      try await tryFaults(
        "run \(adapter)", on: { try World(adapter, file) },
        retry: { world in
          let bits = try await Self.train(world.model, images: 8, epochs: 2, folder: name, resumes: true)
          _ = try GraftedModel(AdapterFolder(path: name), on: world.vit)
          return bits
        }
      ) { world in
        number += 1
        return try await Self.train(world.model, images: 8, epochs: 2, folder: name)
      }
    }
  }

  @Test(arguments: TinyViT.adapters) func loading(_ adapter: String) async throws {
    try await withBackbone { file, folder in
      let batch = Fixtures.noise(2, size: TinyViT.shape.imageSize)
      try await tryFaults("load \(adapter)", on: { try World(adapter, file) }) { world in
        let vit = try Backbone(path: file, options: .init(heads: 2), on: world.context)
        let model = try GraftedModel(
          vit, adapter: TinyViT.adapter(adapter), classes: GraftedModel.names, seed: 5)
        return try model.logits(batch).joined().map(\.bitPattern)
      }
    }
  }

  /// From no device at all: what is asked and made once only.
  @Test func beginning() async throws {
    try await withBackbone { file, _ in
      let batch = Fixtures.noise(2, size: TinyViT.shape.imageSize)
      let once = [
        "clGetPlatform", "clGetDevice", "clCreateContext", "clCreateCommandQueue", "clCreateProgram",
        "clBuildProgram", "clCreateKernel", "clGetKernel", "clRelease",
      ]
      try await tryFaults(
        "beginning", on: { try World("ila", file) }, few: 1, elsewhere: true,
        only: { name in once.contains { name.hasPrefix($0) } }
      ) { _ in
        // A program kept by Graft is built from source where it does not build as it was kept.
        let context = try Context(Device.select().changing { $0.quirks.append(.cachesPrograms) })
        let vit = try Backbone(path: file, options: .init(heads: 2), on: context)
        let model = try GraftedModel(vit, adapter: TinyViT.adapter("ila"), classes: GraftedModel.names)
        return try model.logits(batch).joined().map(\.bitPattern)
      }
    }
  }

  // MARK: A device that does not come back

  /// From some call on everything fails, destructors and the way back too.
  @Test(arguments: Faults.someAdapters) func everythingFailsFromSomeCallOn(_ adapter: String) async throws {
    try await withBackbone { file, folder in
      let calls = try await counted(adapter, file)
      let batch = Fixtures.noise(1, size: TinyViT.shape.imageSize)
      let watch: CallWatch
      do {
        let world = try World(adapter, file)
        watch = world.watch
        let before = try world.model.logits(batch).joined().map(\.bitPattern)
        _ = try await Self.train(world.model, images: 4, epochs: 1)
        try world.recover()
        for (function, count) in calls.sorted(by: { $0.key < $1.key }) {
          for (occurrence, status) in [(1, Int32(-5)), (count / 2 + 1, -36)] {
            let fault = CallWatch.Fault(function, occurrence: occurrence, status: status, lasts: true)
            let what: Comment = "from \(fault.description) on"
            watch.arm(fault)
            let error = await failure {
              try await watch { try await Self.train(world.model, images: 4, epochs: 1) }
            }
            watch.arm()
            #expect(error.map(Faults.isTyped) ?? false, "\(what): \(String(describing: error))")
            // Nobody gets half a model when the device is back: it is as it was before, or refuses.
            world.context.forgetLoss()
            if let bits = try? world.model.logits(batch).joined().map(\.bitPattern) {
              #expect(bits == before, what)
            } else {
              #expect(throws: GraftError.self, what) { try world.model.save(to: folder / "damaged") }
              #expect(!(folder / "damaged/adapter_config.json").exists, what)
            }
            try world.recover()
          }
        }
      }
      #expect(watch.live == [:], "leaks")
    }
  }

  /// Calls of a training step whose failure must be heard of.
  nonisolated(nonsending) private func counted(_ adapter: String, _ file: FilePath) async throws -> [String:
    Int]
  {
    let world = try World(adapter, file)
    // What is compiled once is compiled by now.
    _ = try await Self.train(world.model, images: 4, epochs: 1)
    world.watch.arm()
    _ = try await world.watch { try await Self.train(world.model, images: 4, epochs: 1) }
    return world.watch.calls.filter { !Faults.canBeSilent($0.key) }
  }
}
