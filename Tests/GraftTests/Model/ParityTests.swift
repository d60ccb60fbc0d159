// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import Testing

@testable import Graft

/// Agreement with PyTorch and timm, by golden files that tools/fixtures/ made.
@Suite(.serialized) struct ParityTests {
  @Test(arguments: [("48", PositionResampling.bicubicAntialias)] + resampled)
  func smallViTEqualsTimm(_ name: String, _ resampling: PositionResampling) throws {
    let golden = try Fixtures.open("vit/logits")
    let size = Int(name.prefix(2))!
    let vit = try Fixtures.smallViT(imageSize: ImageSize(size), resampling: resampling)
    let images = try golden.tensor("images.\(size)")
    try checkLogits(vit, images, golden, name)
  }

  static let resampled: [(String, PositionResampling)] = [32, 64].flatMap { size in
    [
      ("\(size).bicubic_antialias", PositionResampling.bicubicAntialias),
      ("\(size).bilinear_aligned", .bilinearAlignedCorners), ("\(size).bilinear", .bilinearHalfPixel),
      ("\(size).bicubic", .bicubicHalfPixel),
    ]
  }

  @Test(.enabled(if: Fixtures.hasDINOv2, "run tools/weights.py first"), arguments: [(112, 11), (224, 22)])
  func dinov2EqualsTimm(_ size: Int, _ seed: Int) throws {
    let vit = try Fixtures.dinov2(imageSize: ImageSize(size))
    let pixels = Fixtures.formula(seed: UInt64(seed), count: 4 * 3 * size * size)
    let images = try Tensor(pixels, shape: [4, 3, size, size], on: vit.context)
    try checkLogits(vit, images, Fixtures.open("dinov2/logits"), "\(size)")
  }

  private func checkLogits(
    _ vit: Backbone, _ images: Tensor, _ golden: SafetensorsFile, _ name: String
  ) throws {
    let features = try vit.features(of: vit.input(normalized: images), on: Tape())
    #expect(try relativeError(features.floats(), golden.floats("features.\(name)")) < 1e-4)
    let logits = try Tape().linear(
      features, weight: golden.tensor("head.weight"), bias: golden.tensor("head.bias"))
    #expect(try relativeError(logits.floats(), golden.floats("logits.\(name)")) < 1e-4)
  }

  static let methods = [
    "ila", "ila++", "alore", "houlsby", "adapter", "adaptformer", "repadapter", "convpass", "vpt-shallow",
    "vpt-deep", "bitfit", "ssf", "lora", "fact-tt", "fact-tk", "dyn",
  ]

  @Test(arguments: methods)
  func smallViTTrainsAsPyTorch(_ method: String) throws {
    let golden = try Fixtures.open("adapters/\(method)")
    let images = try (0..<2).map { try golden.tensor("images.\($0)") }
    try checkTraining(Fixtures.smallViT(), method, images, golden)
  }

  @Test(
    .enabled(if: Fixtures.hasDINOv2, "run tools/weights.py first"),
    .enabled(
      if: Fixtures.trainsLargeModels,
      "llvmpipe takes ten minutes for a method: the small ViT alone trains there"
    ), arguments: methods)
  func dinov2TrainsAsPyTorch(_ method: String) throws {
    let vit = try Fixtures.dinov2(imageSize: 112)
    let images = try [101, 102_000_000].map {
      try Tensor(
        Fixtures.formula(seed: UInt64($0), count: 4 * 3 * 112 * 112), shape: [4, 3, 112, 112], on: vit.context
      )
    }
    try checkTraining(vit, method, images, Fixtures.open("dinov2/\(method)"))
  }

  /// Gradients of the first step and the losses of 20 AdamW steps, then the logits in use.
  private func checkTraining(
    _ vit: Backbone, _ method: String, _ images: [Tensor], _ golden: SafetensorsFile
  ) throws {
    let about = try Golden.About(golden)
    let model = try Golden.model(vit, method, golden)
    let names = Set(model.stateShapes.keys.map { "init.\($0)" })
    #expect(names == Set(golden.names.filter { $0.hasPrefix("init.") }), "every saved tensor, and no other")
    let patches = try images.map { try vit.input(normalized: $0) }
    let losses = try Golden.train(model, patches, golden) { try checkGradients(model, golden, about) }
    for (step, (actual, expected)) in zip(losses, try golden.floats("losses")).enumerated() {
      #expect(abs(actual - expected) <= 1e-3 * abs(expected), "loss of step \(step + 1)")
    }
    let logits = try patches.flatMap { try model.logits(of: $0, lastOnly: false, on: Tape()) }
      .flatMap { try $0.floats() }
    // After 20 steps, running statistics of a handful of images amplify rounding: the fixture records by how much
    // float32 and float64 in PyTorch differ.
    #expect(try relativeError(logits, golden.floats("eval_logits")) < max(1e-3, 4 * about.evalDeviation))
  }

  private func checkGradients(_ model: GraftedModel, _ golden: SafetensorsFile, _ about: Golden.About) throws
  {
    for parameter in model.arena.parameters where golden.tensors["grad.\(parameter.name)"] != nil {
      let actual = try parameter.gradient.floats()
      let expected = try golden.floats("grad.\(parameter.name)")
      if about.vanishing.contains(parameter.name) {
        // A bias in front of a batch normalisation has no gradient but rounding errors.
        let norm = actual.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        #expect(norm < 1e-4 * about.globalNorm, "\(parameter.name)")
      } else {
        #expect(relativeError(actual, expected) < 1e-3, "gradient of \(parameter.name)")
      }
    }
  }
}

/// What a fixture says of itself.
enum Golden {
  struct About {
    let classes: Int
    /// Settings other than the defaults.
    let settings: [String: String]
    let vanishing: Set<String>
    let globalNorm: Double
    let evalDeviation: Double

    init(_ file: SafetensorsFile) throws {
      let about = try JSONDecoder().decode(JSONValue.self, from: Data(file.metadata["about"]!.utf8))
        .objectValue!
      classes = about["classes"]!.intValue!
      settings = (about["settings"]?.objectValue ?? [:]).compactMapValues { value in
        value.doubleValue.map { "\($0)" } ?? value.stringValue
      }
      vanishing = Set(about["vanishing_gradients"]!.arrayValue!.compactMap(\.stringValue))
      globalNorm = about["gradient_global_norm"]!.doubleValue!
      evalDeviation = about["float32_deviation"]!.objectValue!["eval_logits"]!.doubleValue!
    }
  }

  /// The model with the fixture's initial values, dropout off.
  static func model(_ vit: Backbone, _ method: String, _ golden: SafetensorsFile) throws
    -> GraftedModel
  {
    let about = try About(golden)
    let model = try GraftedModel(
      vit, adapter: Fixtures.adapter(method, about.settings), classes: (0..<about.classes).map { "\($0)" })
    for parameter in model.arena.parameters {
      try parameter.value.assign(golden.floats("init.\(parameter.name)"))
    }
    return model
  }

  /// The AdamW steps that the fixture made, on its two batches in turn; returns the losses, with several heads their
  /// weighted mean.
  static func train(
    _ model: GraftedModel, _ patches: [Tensor], _ golden: SafetensorsFile,
    atFirstGradient check: () throws -> Void = {}
  ) throws -> [Float] {
    let context = model.backbone.context
    let optimizer = try AdamW(model.arena)
    let labels = try (0..<2).map { try Tensor(indices: golden.int32s("labels.\($0)"), on: context) }
    let steps = try golden.floats("losses").count
    return try (0..<steps).map { step in
      let tape = Tape(.training(seed: 0))
      let loss = try Trainer.weightedLoss(
        model.logits(of: patches[step % 2], lastOnly: false, on: tape), labels: labels[step % 2],
        smoothing: 0,
        weights: model.lossWeights(Double(step) / Double(steps)), share: 1, on: tape)
      if step == 0 { try check() }
      _ = try GradientClipping.clip(model.arena, to: 1)
      try optimizer.step(learningRate: 1e-3)
      try model.arena.clearGradients()
      return try loss.floats()[0]
    }
  }
}

extension SafetensorsFile {
  /// A tensor of the file on the tests' device.
  func tensor(_ name: String) throws -> Tensor {
    try Tensor(floats(name), shape: tensors[name]!.shape, on: Fixtures.context.get())
  }
}
