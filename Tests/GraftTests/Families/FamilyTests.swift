import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// A tiny model of timm's under Tests/Fixtures/backbones, with its outputs in float64; tools/fixtures/backbones.py makes them.
struct TinyBackbone: Sendable, CustomTestStringConvertible {
  let name: String

  static let all: [TinyBackbone] = {
    let names = (try? Folder.names(in: Fixtures.folder / "backbones"))?.compactMap(\.text) ?? []
    return names.filter { $0.hasSuffix(".expected.safetensors") }
      .map { TinyBackbone(name: String($0.dropLast(".expected.safetensors".count))) }.sorted {
        $0.name < $1.name
      }
  }()

  var testDescription: String { name }
  var path: FilePath { Fixtures.folder / "backbones" / "\(name).safetensors" }
  var expected: SafetensorsFile { get throws { try Fixtures.open("backbones/\(name).expected") } }

  /// What shapes do not tell, as the fixture's metadata has it.
  var about: [String: JSONValue] {
    get throws {
      let text = try expected.metadata["about"] ?? "{}"
      return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)).objectValue ?? [:]
    }
  }

  var options: BackboneOptions {
    get throws {
      let about = try about
      let activations: [String: Activation] = [
        "gelu": .gelu, "quick_gelu": .quickGELU, "gelu_tanh": .geluTanh, "silu": .silu,
      ]
      return BackboneOptions(
        heads: about["heads"]?.intValue, epsilon: about["epsilon"]?.doubleValue.map(Float.init),
        activation: about["activation"]?.stringValue.flatMap { activations[$0] },
        pooling: about["pooling"]?.stringValue.flatMap(End.Pooling.init(rawValue:)))
    }
  }

  /// Its settings for images of a size; the grid that rotary positions were made for is known to the metadata alone.
  func settings(_ size: ImageSize? = nil, pooling: End.Pooling? = nil) throws -> ViT {
    var options = try options
    if let pooling { options.pooling = pooling }
    var vit = try ViT(reading: CanonicalWeights(TensorFiles.open(path)), options: options)
    if case .index? = vit.rotation?.coordinates,
      let side = try about["rope"]?.objectValue?["reference_grid"]?.arrayValue?[0].intValue
    {
      vit.rotation?.coordinates = .index(side: side)
    }
    if vit.positions == .none { vit.positionGrid = 4 }
    return try vit.resized(to: size ?? 16)
  }

  func backbone(_ size: ImageSize? = nil, pooling: End.Pooling? = nil) throws -> Backbone {
    let weights = try CanonicalWeights(TensorFiles.open(path))
    return try Backbone(
      settings(size, pooling: pooling).shape(), weights: weights, file: weights,
      resampling: BackboneReading(weights, options: options).positionResampling, on: Fixtures.context.get())
  }
}

/// The whole family computes what timm computes.
@Suite(.serialized) struct FamilyTests {
  static let sizes: [ImageSize] = [16, ImageSize(height: 24, width: 20)]

  /// Features of the two images that the fixtures' scripts make by the same formula.
  static func features(_ vit: Backbone) throws -> [Float] {
    let size = vit.shape.imageSize
    let pixels = Fixtures.formula(
      seed: UInt64(4200 + 100 * size.height + size.width), count: 2 * 3 * size.count)
    let images = try Tensor(pixels, shape: [2, 3, size.height, size.width], on: vit.context)
    return try vit.features(of: vit.input(normalized: images), on: Tape()).floats()
  }

  @Test func fixturesAreThere() { #expect(TinyBackbone.all.count >= 26) }

  @Test(arguments: TinyBackbone.all, sizes)
  func featuresAreTimms(_ tiny: TinyBackbone, _ size: ImageSize) throws {
    let expected = try tiny.expected
    let name = "\(size.height)x\(size.width)"
    let vit = try tiny.backbone(size)
    // The distilled model's is the mean of both tokens, which nobody transfers; both are compared below.
    if tiny.name != "distilled" {
      #expect(try relativeError(Self.features(vit), expected.floats("\(name).features")) < 1e-5)
    }
    for (suffix, pooling) in [("token", End.Pooling.token), ("avg", .mean), ("mean", .frontMean)] {
      guard expected.tensors["\(name).features.\(suffix)"] != nil else { continue }
      let other = try tiny.backbone(size, pooling: pooling)
      #expect(
        try relativeError(Self.features(other), expected.floats("\(name).features.\(suffix)")) < 1e-5,
        "\(pooling)"
      )
    }
  }

  /// The list of operations is the truth: what the file holds, no more and no less.
  @Test(arguments: TinyBackbone.all) func tensorsAreTheFiles(_ tiny: TinyBackbone) throws {
    let file = try TensorFiles.open(tiny.path)
    let shape = try tiny.settings().shape()
    let stored = file.tensors.values.reduce(0) { $0 + $1.count }
    #expect(shape.parameterCount == stored)
    #expect(Set(shape.tensors.map(\.name)) == Set(try CanonicalWeights(file).index.shapes.keys))
  }

  @Test(arguments: TinyBackbone.all) func settingsSurviveJSON(_ tiny: TinyBackbone) throws {
    let settings = try tiny.settings()
    let again = try JSONDecoder().decode(ViT.self, from: JSONEncoder().encode(settings))
    #expect(again == settings)
  }
}
