import Foundation
import Graft
import Testing

@testable import GraftData
@testable import GraftSystem

@Suite struct KeptPicturesTests {
  static func transforms(_ size: ImageSize = 8) -> [(ImageTransform, keeps: Bool)] {
    [
      (.squash(imageSize: size), true), (.ila(imageSize: size), true),
      (.timm(imageSize: size, cropFraction: 1), true),
      (.timm(imageSize: size, trainingCrop: .random, flipProbability: 0.5), true),
      (.timm(imageSize: size, flipProbability: 0.5), true),
      (.timm(imageSize: size, trainingCrop: .randomResized, flipProbability: 0.5), false),
    ]
  }

  /// Pictures of different shapes, of two classes.
  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (index, file) in Fixtures.cases.decode.prefix(7).enumerated() {
      try folder.write(Fixtures.bytes(file.file), to: "\(index % 2)/\(index).png")
    }
    for name in ["0/x.jpg", "1/x.jpg"] { try folder.write(Fixtures.bytes("rgb.jpg"), to: name) }
    return folder
  }

  private func passes(
    _ images: ImageFolder, size: ImageSize = 8, training: Bool = true
  ) async throws -> [[UInt8]] {
    var pixels: [[UInt8]] = []
    for epoch in 0..<3 {
      pixels += try await collect(
        images.batches(epoch: epoch, batchSize: 3, imageSize: size, seed: 5, training: training)
      ).map(\.pixels)
    }
    return pixels
  }

  @Test(
    "pixels are the same with and without", arguments: transforms().indices,
    [8, ImageSize(height: 6, width: 11)])
  func sameBits(_ index: Int, _ size: ImageSize) async throws {
    let (transform, keeps) = Self.transforms(size)[index]
    let folder = try folder()
    let plain = try ImageFolder(folder.path, transform: transform)
    for limit in [1 << 20, 400, 0] {
      let kept = KeptPictures(limit: limit)
      let images = try ImageFolder(folder.path, transform: transform, options: LoadingOptions(kept: kept))
      for training in [true, false] {
        let (with, without) = try await (
          passes(images, size: size, training: training), passes(plain, size: size, training: training)
        )
        #expect(with == without)
      }
      #expect(kept.bytes <= limit)
      // In evaluation there is always something to keep.
      if limit > 1 << 10 { #expect(kept.bytes > 0) }
      let trained = KeptPictures(limit: limit)
      let only = try ImageFolder(folder.path, transform: transform, options: LoadingOptions(kept: trained))
      _ = try await passes(only, size: size)
      #expect((trained.bytes > 0) == (keeps && limit >= 400))
      if let bytes = only.keptBytes(imageSize: size, training: true), limit > 1 << 10 {
        #expect(trained.bytes == bytes)
      }
    }
  }

  @Test("what is kept is not decoded again, and what does not fit is")
  func decodesOnce() async throws {
    let one = 8 * 8 * 3
    let files = try folder()
    let kept = KeptPictures(limit: 4 * one + 1)
    let images = try ImageFolder(
      files.path, transform: .squash(imageSize: 8), options: LoadingOptions(workers: 1, kept: kept))
    let before = try await collect(
      images.batches(epoch: 0, batchSize: 4, imageSize: 8, seed: 0, training: false))
    #expect(kept.bytes == 4 * one)
    // The files of the first four are gone, and nobody misses them; the fifth is missed.
    for sample in images.samples.prefix(4) { try sample.path.remove() }
    var again = images.batches(epoch: 0, batchSize: 4, imageSize: 8, seed: 0, training: false)
      .makeAsyncIterator()
    #expect(try await again.next()?.pixels == before[0].pixels)
    try images.samples[4].path.remove()
    await #expect(throws: DataError.self) {
      try await collect(images.batches(epoch: 0, batchSize: 4, imageSize: 8, seed: 0, training: false))
    }
  }

  @Test("sources that prepare pictures otherwise do not share them")
  func keys() async throws {
    let folder = try folder()
    let kept = KeptPictures(limit: 1 << 20)
    for transform in Self.transforms().map(\.0) + [.squash(imageSize: 8, interpolation: .bilinear)] {
      for scaled in [false, true] {
        let options = LoadingOptions(scaledDecoding: scaled, kept: kept)
        let images = try ImageFolder(folder.path, transform: transform, options: options)
        let plain = try ImageFolder(
          folder.path, transform: transform, options: LoadingOptions(scaledDecoding: scaled))
        #expect(try await passes(images) == passes(plain))
        #expect(try await passes(images.halves().second) == passes(plain.halves().second))
      }
    }
  }

  @Test("the default is a quarter of what the system says is free")
  func defaultLimit() throws {
    #expect(FreeMemory.available("MemTotal: 9 kB\nMemAvailable:   16130456 kB\n") == 16_130_456 << 10)
    #expect(FreeMemory.available("MemTotal: 9 kB\n") == nil)
    #if os(Linux)
      let free = try #require(FreeMemory.stated)
      #expect(free > 0 && free < Machine.memory)
    #endif
    let limit = KeptPictures().limit
    #expect(limit > 0 && limit < Machine.memory / 4)
  }
}
