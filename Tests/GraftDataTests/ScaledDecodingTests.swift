import Foundation
import Graft
import GraftSystem
import Testing

@testable import GraftData

@Suite struct ScaledDecodingTests {
  @Test(
    "both sides keep twice what is needed",
    arguments: [
      (4000, 3000, 112, 8), (1800, 1792, 112, 8), (1800, 1791, 112, 4), (895, 4000, 112, 2),
      (447, 4000, 112, 1),
      (448, 448, 112, 2), (224, 224, 112, 1), (65_535, 300, 100, 1), (1, 1, 1, 1), (100, 100, 300, 1),
    ])
  func divisor(_ width: Int, _ height: Int, _ side: Int, _ expected: Int) {
    let plan = CropPlan(
      width: width, height: height, transform: .squash(imageSize: .init(side)), imageSize: .init(side))
    #expect(plan.divisor == expected)
  }

  @Test("a part that is resized counts, not the whole picture")
  func randomParts() {
    let transform = ImageTransform.timm(imageSize: 112, trainingCrop: .randomResized)
    var divisors: Set<Int> = []
    for sample in 0..<200 {
      var random = SampleRandom(seed: 1, epoch: 0, sample: sample)
      let plan = transform.plan(width: 3001, height: 2003, imageSize: 112, training: true, random: &random)
      divisors.insert(plan.divisor)
      let decoded = (
        width: (3001 + plan.divisor - 1) / plan.divisor, height: (2003 + plan.divisor - 1) / plan.divisor
      )
      let region = plan.scaled(from: (3001, 2003), to: decoded).region
      #expect(plan.divisor == 1 || region.width >= 224 && region.height >= 224)
      #expect(region.x >= 0 && region.x + region.width <= decoded.width)
      #expect(region.y >= 0 && region.y + region.height <= decoded.height)
    }
    #expect(divisors.isSuperset(of: [2, 4]))
  }

  @Test("a plan for the picture as it is stays what it is")
  func unscaled() {
    let transform = ImageTransform.timm(imageSize: 112, trainingCrop: .randomResized)
    for sample in 0..<50 {
      var random = SampleRandom(seed: 1, epoch: 0, sample: sample)
      let plan = transform.plan(width: 301, height: 203, imageSize: 112, training: true, random: &random)
      #expect(plan.scaled(from: (301, 203), to: (301, 203)) == plan)
    }
  }

  /// Root of the mean square of differences.
  private func distance(_ a: [UInt8], _ b: [UInt8]) -> Double {
    precondition(a.count == b.count)
    let sum = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    return (sum / Double(a.count)).squareRoot()
  }

  @Test(
    "a JPEG decoded smaller is the means of its pixels",
    arguments: ["rgb.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg"], [2, 4, 8])
  func decodesSmaller(_ name: String, _ divisor: Int) throws {
    let decoder = ImageDecoder(maximumPixels: 1 << 20)
    let exact = try decoder.decode(file: Fixtures.path(name))
    let small = try decoder.decode(file: Fixtures.path(name)) { width, height in
      #expect(width == exact.width && height == exact.height)
      return divisor
    }
    #expect(small.width == (exact.width + divisor - 1) / divisor)
    #expect(small.height == (exact.height + divisor - 1) / divisor)
    var (means, there): ([UInt8], [UInt8]) = ([], [])
    for y in 0..<exact.height / divisor {
      for x in 0..<exact.width / divisor {
        for channel in 0..<3 {
          var sum = 0
          for row in 0..<divisor {
            for column in 0..<divisor {
              sum += Int(
                exact.pixels[((y * divisor + row) * exact.width + x * divisor + column) * 3 + channel])
            }
          }
          means.append(UInt8(sum / (divisor * divisor)))
          there.append(small.pixels[(y * small.width + x) * 3 + channel])
        }
      }
    }
    // The picture's own deviation is 57 to 99.
    #expect(distance(means, there) < 16, "\(distance(means, there))")
  }

  @Test("crops are nearly the exact ones, and other files' are the exact ones")
  func crops() throws {
    let transform = ImageTransform.squash(imageSize: 4)
    func crops(_ name: String) throws -> [[UInt8]] {
      try [false, true].map {
        try loadImage(Fixtures.path(name), transform: transform, imageSize: 4, scaledDecoding: $0)
      }
    }
    let jpeg = try crops("rgb.jpg")
    #expect(jpeg[0] != jpeg[1] && distance(jpeg[0], jpeg[1]) < 8, "\(distance(jpeg[0], jpeg[1]))")
    for name in ["rgb.png", "lossy.webp"] {
      let same = try crops(name)
      #expect(same[0] == same[1])
    }
  }

  @Test("a run that was begun without is another one")
  func fingerprint() throws {
    let folder = try TemporaryFolder()
    for name in ["a/1.jpg", "b/1.jpg"] { try folder.write(Fixtures.bytes("rgb.jpg"), to: name) }
    let prints = try [false, true].map {
      try ImageFolder(
        folder.path, transform: .squash(imageSize: 4), options: LoadingOptions(scaledDecoding: $0)
      ).fingerprint
    }
    #expect(prints[0] != prints[1])
  }

  @Test("passes and predictions use it", arguments: [false, true])
  func passes(_ scaled: Bool) async throws {
    let folder = try TemporaryFolder()
    for name in ["a/1.jpg", "b/1.jpg"] { try folder.write(Fixtures.bytes("rgb.jpg"), to: name) }
    let options = LoadingOptions(scaledDecoding: scaled)
    let transform = ImageTransform.squash(imageSize: 4)
    let images = try ImageFolder(folder.path, transform: transform, options: options)
    let crop = try loadImage(
      Fixtures.path("rgb.jpg"), transform: transform, imageSize: 4, scaledDecoding: scaled)
    for training in [false, true] {
      let batches = try await collect(
        images.batches(epoch: 0, batchSize: 2, imageSize: 4, seed: 0, training: training))
      #expect(batches.map(\.pixels) == [crop + crop])
    }
    let preparation = PictureQueue.Preparation(transform: transform, imageSize: 4)
    let queue = try PictureQueue(
      [.success(folder.path / "b/1.jpg")], as: [preparation], batchSize: 1, options: options)
    #expect(try await queue.next()?.get() == [preparation: crop])
  }
}
