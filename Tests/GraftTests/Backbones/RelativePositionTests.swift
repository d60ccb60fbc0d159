import GraftOps
import GraftRuntime
import GraftSystem
import Testing

@testable import Graft

/// Relative positions at other sizes than their table's.
@Suite(.serialized) struct RelativePositionTests {
  private static let wide = ImageSize(height: 24, width: 20)
  private static let tables = (0..<2).map { "blocks.\($0).attn.relative_position_bias_table" }

  private func beit(_ size: ImageSize = wide) throws -> Backbone {
    let tiny = try #require(TinyBackbone.all.first { $0.name == "beit" })
    return try tiny.backbone(size)
  }

  /// What cells give each other does not change when others are cut off around them.
  @Test func cutCellsKeepTheirOffsets() throws {
    let backbone = try beit()
    var reader = WeightReader(try #require(backbone.weights), on: backbone.context)
    let shape = Attention.RelativePositions(Self.tables[0], side: 4, heads: 2, front: 1)
    let positions = try RelativePosition(
      shape, heads: 2, resampling: .geometric, &reader, on: backbone.context)
    let whole = backbone.shape.start
    let cut = whole.changed(by: .cut(1))
    #expect(whole.grid == Grid(rows: 6, columns: 5) && cut.grid == Grid(rows: 4, columns: 3))
    let (all, some) = try (positions.bias(of: whole).floats(), positions.bias(of: cut).floats())
    func place(_ token: Int) -> Int {
      guard token > 0 else { return 0 }
      let (row, column) = (token - 1).quotientAndRemainder(dividingBy: 3)
      return 1 + (row + 1) * 5 + column + 1
    }
    for head in 0..<2 {
      for query in 0..<cut.count {
        for key in 0..<cut.count {
          let value = all[(head * whole.count + place(query)) * whole.count + place(key)]
          #expect(some[(head * cut.count + query) * cut.count + key] == value)
        }
      }
    }
  }

  /// A number for each pair of a quarter of a million tokens is more than any device holds.
  @Test func tooManyPairsAreAnError() throws {
    let backbone = try beit(16)
    var reader = WeightReader(try #require(backbone.weights), on: backbone.context)
    let shape = Attention.RelativePositions(Self.tables[0], side: 4, heads: 2, front: 1)
    let positions = try RelativePosition(
      shape, heads: 2, resampling: .geometric, &reader, on: backbone.context)
    let layout = TokenLayout(width: 16, grid: Grid(side: 512), prefix: 1)
    #expect(throws: RuntimeError.self) { try positions.bias(of: layout) }
  }

  /// A model at another size leaves the file as it is: the table keeps its grid, and the settings say which.
  @Test func theTableKeepsItsGrid() async throws {
    try await Fixtures.withFolder { folder in
      let backbone = try beit()
      let model = try GraftedModel(backbone, adapter: Fixtures.adapter("alore"), classes: GraftedModel.names)
      try model.perturb()
      let images = Fixtures.noise(2, size: Self.wide)
      let expected = try model.logits(images).flatMap { $0 }
      try model.save(to: folder / "adapter")
      try model.merge(to: folder / "merged.safetensors")

      let merged = try GraftedModel(merged: folder / "merged.safetensors", on: backbone.context)
      let loaded = try GraftedModel(path: folder / "adapter", on: backbone.context)
      #expect(try loaded.logits(images).flatMap { $0 } == expected)
      #expect(try relativeError(merged.logits(images).flatMap { $0 }, expected) < 1e-5)
      for model in [merged, loaded] {
        let vit = try #require(model.backbone.shape.architecture as? ViT)
        #expect(vit.positionGrid == 4 && vit.imageSize == Self.wide)
        #expect(model.backbone.positionResampling == .geometric)
        let (weights, before) = (try #require(model.backbone.weights), try #require(backbone.weights))
        for name in Self.tables { #expect(try weights.floats(name) == before.floats(name)) }
      }
    }
  }

  /// Versions that do not know a resampling would take it for timm's.
  @Test(arguments: PositionResampling.allCases) func newWaysNeedANewVersion(_ way: PositionResampling) throws
  {
    let model = try GraftedModel.small("linear", on: Fixtures.smallViT(imageSize: 32, resampling: way))
    let isNew = way == .bicubicOffset || way == .geometric
    #expect(try model.manifest(transform: .object([:])).formatVersion == (isNew ? 2 : 1))
  }
}
