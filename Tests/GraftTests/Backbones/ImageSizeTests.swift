import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite struct ImageSizeTests {
  @Test(arguments: [("224", 224, 224), ("224x448", 224, 448), ("448x224", 448, 224)])
  func text(_ text: String, _ height: Int, _ width: Int) {
    let size = ImageSize(text)
    #expect(size == ImageSize(height: height, width: width) && size?.description == text)
    #expect(size?.count == height * width && size?.side == (height == width ? height : nil))
  }

  @Test(arguments: ["", "x", "224x", "x448", "224x448x3", "224 448", "224X448", "a", "2.5"])
  func noText(_ text: String) { #expect(ImageSize(text) == nil) }

  @Test func json() throws {
    func text(_ size: ImageSize) throws -> String {
      String(decoding: try JSONEncoder().encode(size), as: UTF8.self)
    }
    func size(_ text: String) throws -> ImageSize {
      try JSONDecoder().decode(ImageSize.self, from: Data(text.utf8))
    }
    // Squares as folders have them that were written before there was anything else.
    #expect(try text(224) == "224" && text(.init(height: 224, width: 448)) == "[224,448]")
    #expect(try size("224") == 224 && size("[224,448]") == .init(height: 224, width: 448))
    #expect(try size("[224,224]") == 224)
    for wrong in ["[224]", "[1,2,3]", "\"224x448\"", "{}", "null", "[1.5,2]"] {
      #expect(throws: DecodingError.self, "\(wrong)") { try size(wrong) }
    }
  }

  /// Rows are rows and columns columns, from the pixels to the grid of tokens.
  @Test(arguments: [ImageSize(height: 16, width: 40), .init(height: 40, width: 16)])
  func patchesAreReadByRows(_ size: ImageSize) throws {
    let vit = try Fixtures.smallViT(imageSize: size)
    let columns = size.width / 8
    #expect(vit.shape.start.grid == Grid(rows: size.height / 8, columns: columns))
    let pixels = (0..<size.count).flatMap { pixel in
      let (row, column) = (pixel / size.width, pixel % size.width)
      return [UInt8](repeating: UInt8(20 * (row / 8 * columns + column / 8)), count: 3)
    }
    let input = try vit.input(ImageBatch(count: 1, imageSize: size, pixels: pixels))
    #expect(input.shape == [10, 192])
    let values = try input.floats()
    for patch in 0..<10 {
      let expected = Float(20 * patch) / 127.5 - 1
      #expect(values[patch * 192..<(patch + 1) * 192].allSatisfy { abs($0 - expected) < 1e-5 }, "\(patch)")
    }
  }

  @Test func anAdapterFolderKeepsBothSides() async throws {
    try await Fixtures.withFolder { folder in
      let size = ImageSize(height: 32, width: 48)
      let model = try GraftedModel.small("alore", on: Fixtures.smallViT(imageSize: size))
      try model.perturb()
      try model.save(to: folder / "wide")
      let loaded = try GraftedModel(path: folder / "wide", on: Fixtures.context.get())
      #expect(loaded.backbone.shape.imageSize == size)
      let images = Fixtures.noise(2, size: size)
      #expect(try loaded.logits(images) == model.logits(images))
    }
  }
}
