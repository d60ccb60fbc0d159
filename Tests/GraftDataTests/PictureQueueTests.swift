import Foundation
import Graft
import GraftSystem
import Testing

@testable import GraftData

@Suite struct PictureQueueTests {
  private let preparations: Set<PictureQueue.Preparation> = [
    .init(transform: .squash(imageSize: 8), imageSize: 8), .init(transform: .ila(imageSize: 6), imageSize: 6),
  ]

  @Test("pictures come in order, broken ones in their place", arguments: [1, 2, 5], [1, 3, 100])
  func order(_ workers: Int, _ batchSize: Int) async throws {
    let missing = DataError.noPictures("empty", leftOut: [:])
    let names = ["rgb.png", "none.png", "rgb.jpg", "grey.png", "cases.json", "lossy.webp", "rgb.png"]
    var files: [Result<FilePath, DataError>] = names.map { .success(Fixtures.path($0)) }
    files.insert(.failure(missing), at: 2)
    let queue = try PictureQueue(
      files, as: preparations, batchSize: batchSize, options: LoadingOptions(workers: workers))
    for (index, file) in files.enumerated() {
      let crops = try #require(try await queue.next())
      switch file {
      case .success(let path) where !["none.png", "cases.json"].contains(path.lastComponent?.string):
        for preparation in preparations {
          let expected = try loadImage(
            path, transform: #require(preparation.transform), imageSize: preparation.imageSize)
          #expect(try crops.get()[preparation] == expected, "picture \(index)")
        }
      case .success: #expect(throws: DataError.self) { try crops.get() }
      case .failure: #expect(throws: missing) { try crops.get() }
      }
    }
    #expect(try await queue.next() == nil)
  }

  @Test("a transform that makes no crops is the fault of no picture")
  func badTransform() throws {
    #expect(throws: DataError.self) {
      try PictureQueue(
        [.success("x")], as: [.init(transform: .squash(imageSize: 4), imageSize: 5)], batchSize: 1,
        options: LoadingOptions())
    }
  }

  @Test(
    "a picture that is taken as it is has its own pixels, and one of another size is refused",
    arguments: [false, true])
  func whole(_ scaled: Bool) async throws {
    let file = Fixtures.path("rgb.jpg")
    let image = try ImageDecoder(maximumPixels: LoadingOptions.defaultMaximumPixels).decode(file: file)
    let size = ImageSize(height: image.height, width: image.width)
    let wanted = [size, ImageSize(height: size.height, width: size.width + 1)].map {
      PictureQueue.Preparation(transform: nil, imageSize: $0)
    }
    for preparation in wanted {
      let queue = try PictureQueue(
        [.success(file)], as: [preparation], batchSize: 1, options: LoadingOptions(scaledDecoding: scaled))
      let answer = try #require(try await queue.next())
      guard preparation.imageSize != size else {
        #expect(try answer.get()[preparation] == image.pixels)
        continue
      }
      let refusal = DataError.otherSize(file, actual: size, wanted: preparation.imageSize)
      #expect(throws: refusal) { try answer.get() }
      #expect(refusal.isOfOnePicture && refusal.description.hasPrefix("\(file) is "))
    }
  }

  @Test("a folder stands for all pictures below it, sorted")
  func folders() throws {
    let folder = try TemporaryFolder()
    for name in ["b.png", "a.JPG", "z/1.webp", "z/y/0.png", ".hidden/x.png", "notes.txt"] {
      try folder.write([1], to: name)
    }
    let found = try PictureFolder(folder.path)
    #expect(
      found.pictures.map { $0.string.dropFirst(folder.path.string.count + 1) } == [
        "a.JPG", "b.png", "z/1.webp", "z/y/0.png",
      ])
    #expect(found.leftOut == ["txt": 1])
    try folder.makeFolder("empty")
    #expect(throws: DataError.noPictures(folder.path / "empty", leftOut: [:])) {
      try PictureFolder(folder.path / "empty")
    }
  }
}
