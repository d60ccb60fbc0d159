import Foundation
import Graft
import Testing

@testable import GraftData

@Suite struct TransformTests {
  @Test("evaluation equals Pillow with torchvision's sizes", arguments: Fixtures.cases.crop)
  func evaluation(_ golden: Fixtures.Cases.Crop) throws {
    let transform: ImageTransform =
      golden.name == "ila"
      ? .ila(imageSize: golden.size) : .timm(imageSize: golden.size, interpolation: .bilinear)
    var random = SampleRandom(seed: 0, epoch: 0, sample: 0)
    let crop = transform.crop(
      try Fixtures.source(), imageSize: golden.size, training: false, random: &random)
    #expect(try crop == Fixtures.bytes(golden.file))
  }

  struct Geometry {
    let size: (Int, Int)
    let transform: ImageTransform
    var crop: ImageSize = 224
    let resized: (Int, Int)
    let corner: (Int, Int)
  }

  static let wide = ImageSize(height: 224, width: 448)
  static let tall = ImageSize(height: 320, width: 192)

  @Test(
    "sizes and centres are torchvision's",
    arguments: [
      Geometry(
        size: (640, 480), transform: .timm(imageSize: 224), resized: (341, 256), corner: (58, 16)),
      Geometry(
        size: (480, 641), transform: .timm(imageSize: 224, cropFraction: 0.9), resized: (248, 331),
        corner: (12, 54)),
      Geometry(
        size: (100, 900), transform: .ila(imageSize: 224), resized: (300, 300), corner: (38, 38)),
      Geometry(
        size: (10, 10), transform: .squash(imageSize: 224), resized: (224, 224), corner: (0, 0)),
      Geometry(
        size: (229, 227), transform: .init(resize: .shortestSide(227)), resized: (229, 227),
        corner: (2, 2)),
      // From here on what timm's ResizeKeepRatio gives: the picture covers the crop.
      Geometry(
        size: (640, 480), transform: .timm(imageSize: wide), crop: wide, resized: (512, 384), corner: (32, 80)
      ),
      Geometry(
        size: (480, 641), transform: .timm(imageSize: wide, cropFraction: 0.9), crop: wide,
        resized: (497, 664),
        corner: (24, 220)),
      Geometry(
        size: (500, 300), transform: .timm(imageSize: tall, cropFraction: 1), crop: tall, resized: (533, 320),
        corner: (170, 0)),
      Geometry(
        size: (1001, 333), transform: .timm(imageSize: .init(height: 48, width: 32)),
        crop: .init(height: 48, width: 32), resized: (162, 54), corner: (65, 3)),
      Geometry(
        size: (100, 900), transform: .ila(imageSize: wide), crop: wide, resized: (600, 300), corner: (76, 38)),
      Geometry(
        size: (10, 10), transform: .squash(imageSize: tall), crop: tall, resized: (192, 320), corner: (0, 0)),
    ])
  func geometry(_ expected: Geometry) {
    let plan = CropPlan(
      width: expected.size.0, height: expected.size.1, transform: expected.transform,
      imageSize: expected.crop)
    #expect(plan.width == expected.resized.0)
    #expect(plan.height == expected.resized.1)
    #expect(
      plan.window
        == .init(
          x: expected.corner.0, y: expected.corner.1, width: expected.crop.width, height: expected.crop.height
        ))
    #expect(!plan.isFlipped)
  }

  @Test("every picture covers every crop", arguments: [wide, tall, .init(height: 7, width: 5)])
  func covers(_ crop: ImageSize) {
    for fraction in [1, 0.9, 0.875] {
      let transform = ImageTransform.timm(imageSize: crop, cropFraction: fraction)
      for (width, height) in [
        (1, 65_535), (65_535, 1), (333, 1000), (997, 991), (448, 224), (192, 320), (3, 7),
      ] {
        let plan = CropPlan(width: width, height: height, transform: transform, imageSize: crop)
        #expect(plan.window.x >= 0 && plan.window.x + crop.width <= plan.width)
        #expect(plan.window.y >= 0 && plan.window.y + crop.height <= plan.height)
        let size = transform.resize.pixels
        #expect(plan.width == size.width || plan.height == size.height, "just covered")
      }
    }
  }

  private func plans(
    _ transform: ImageTransform, _ width: Int, _ height: Int, _ count: Int, imageSize: ImageSize = 32
  ) -> [CropPlan] {
    (0..<count).map { sample in
      var random = SampleRandom(seed: 7, epoch: 2, sample: sample)
      return CropPlan(
        width: width, height: height, transform: transform, imageSize: imageSize, random: &random)
    }
  }

  @Test("random crops reach every corner and nothing beyond")
  func randomCrop() {
    let all = plans(.ila(imageSize: 32), 90, 40, 1000)
    #expect(all.allSatisfy { $0.width == 42 && $0.height == 42 })
    #expect(Set(all.map(\.window.x)) == Set(0...10))
    #expect(Set(all.map(\.window.y)) == Set(0...10))
    let flips = all.count(where: \.isFlipped)
    #expect((420...580).contains(flips), "half of 1000, within five deviations: \(flips)")
    let size = ImageSize(height: 24, width: 40)
    let wide = plans(.ila(imageSize: size), 90, 40, 1000, imageSize: size)
    #expect(
      wide.allSatisfy { $0.width == 53 && $0.height == 32 && $0.window.width == 40 && $0.window.height == 24 }
    )
    #expect(Set(wide.map(\.window.x)) == Set(0...13) && Set(wide.map(\.window.y)) == Set(0...8))
  }

  @Test(
    "random resized crops keep torchvision's areas, and its ratios about the crop's own",
    arguments: [(200, 100), (64, 64)], [32, ImageSize(height: 24, width: 48), .init(height: 48, width: 32)])
  func randomResizedCrop(_ size: (Int, Int), crop: ImageSize) {
    let transform = ImageTransform(resize: .squash(crop), trainingCrop: .randomResized)
    let all = plans(transform, size.0, size.1, 1000, imageSize: crop)
    let area = Double(size.0 * size.1)
    for plan in all {
      let region = plan.region
      #expect(region.x >= 0 && region.x + region.width <= size.0)
      #expect(region.y >= 0 && region.y + region.height <= size.1)
      let share = Double(region.width * region.height) / area
      #expect((0.07...1.0).contains(share))
      let ratio = Double(region.width) / Double(region.height)
      #expect((0.70...1.43).contains(ratio * Double(crop.height) / Double(crop.width)))
      #expect(plan.window == .init(x: 0, y: 0, width: crop.width, height: crop.height))
      #expect(plan.width == crop.width && plan.height == crop.height)
    }
    #expect(Set(all.map(\.region.width)).count > 30)
    #expect(all.allSatisfy { !$0.isFlipped })
  }

  @Test("a picture too narrow for any ratio falls back to its centre")
  func fallback() {
    let transform = ImageTransform(resize: .squash(32), trainingCrop: .randomResized)
    for plan in plans(transform, 4, 1000, 20) {
      #expect(plan.region == .init(x: 0, y: 497, width: 4, height: 5))
    }
    for plan in plans(transform, 1000, 3, 20) {
      #expect(plan.region == .init(x: 498, y: 0, width: 4, height: 3))
    }
    // Widths of 3/2 to 8/3 of the height.
    for plan in plans(transform, 1000, 3, 20, imageSize: .init(height: 16, width: 32)) {
      #expect(plan.region == .init(x: 496, y: 0, width: 8, height: 3))
    }
    for plan in plans(transform, 6, 1000, 20, imageSize: .init(height: 16, width: 32)) {
      #expect(plan.region == .init(x: 0, y: 498, width: 6, height: 4))
    }
  }

  @Test("a flip mirrors each row")
  func flip() throws {
    let image = try RGBImage(width: 3, height: 2, pixels: (0..<18).map { UInt8($0) })
    var plan = CropPlan(width: 3, height: 2, transform: .init(resize: .shortestSide(2)), imageSize: 2)
    plan.window = .init(x: 0, y: 0, width: 3, height: 2)
    plan.isFlipped = true
    #expect(
      plan.pixels(of: image, interpolation: .bicubic)
        == [6, 7, 8, 3, 4, 5, 0, 1, 2, 15, 16, 17, 12, 13, 14, 9, 10, 11])
  }

  @Test("without a training crop, training sees what evaluation sees")
  func trainingWithoutCrop() throws {
    let transform = ImageTransform.timm(imageSize: 16)
    let image = try Fixtures.source()
    var random = SampleRandom(seed: 3, epoch: 0, sample: 9)
    let training = transform.crop(image, imageSize: 16, training: true, random: &random)
    #expect(training == transform.crop(image, imageSize: 16, training: false, random: &random))
  }

  @Test("an extreme picture costs no more than its crop")
  func extremeAspect() throws {
    let image = try RGBImage(width: 1, height: 65_535, pixels: [UInt8](repeating: 9, count: 65_535 * 3))
    var random = SampleRandom(seed: 0, epoch: 0, sample: 0)
    let crop = ImageTransform.timm(imageSize: 224)
      .crop(image, imageSize: 224, training: false, random: &random)
    #expect(crop == [UInt8](repeating: 9, count: 224 * 224 * 3))
  }

  @Test("transforms that cannot make the crop are refused")
  func refusals() {
    #expect(throws: DataError.self) { try ImageTransform(resize: .shortestSide(200)).check(imageSize: 224) }
    #expect(throws: DataError.self) {
      try ImageTransform(resize: .squash(.init(1 << 40))).check(imageSize: 224)
    }
    #expect(throws: DataError.self) { try ImageTransform.squash(imageSize: 0).check(imageSize: 0) }
    #expect(throws: DataError.self) {
      try ImageTransform(resize: .squash(8), flipProbability: .nan).check(imageSize: 8)
    }
    #expect(throws: Never.self) { try ImageTransform.ila(imageSize: 448).check(imageSize: 448) }
    for size in [Self.wide, Self.tall] {
      #expect(throws: Never.self) { try ImageTransform.ila(imageSize: size).check(imageSize: size) }
      #expect(throws: DataError.self) { try ImageTransform.ila(imageSize: 224).check(imageSize: size) }
    }
    #expect(throws: DataError.self) {
      try ImageTransform.squash(imageSize: Self.wide).check(imageSize: .init(height: 448, width: 224))
    }
    for size in [ImageSize(height: 0, width: 8), .init(height: 8, width: 1 << 40)] {
      #expect(throws: DataError.self) { try ImageTransform.squash(imageSize: size).check(imageSize: size) }
    }
  }

  @Test(
    "a transform survives JSON",
    arguments: [
      ImageTransform.ila(imageSize: 224), .timm(imageSize: 518, trainingCrop: .randomResized),
      .timm(imageSize: wide),
    ])
  func coding(_ transform: ImageTransform) throws {
    let data = try JSONEncoder().encode(transform)
    #expect(try JSONDecoder().decode(ImageTransform.self, from: data) == transform)
  }

  @Test("JSON has stable names")
  func codingNames() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let text = String(decoding: try encoder.encode(ImageTransform.ila(imageSize: 224)), as: UTF8.self)
    #expect(
      text == #"{"flipProbability":0.5,"interpolation":"bicubic","#
        + #""resize":{"mode":"squash","pixels":300},"trainingCrop":"random"}"#)
    let wide = try encoder.encode(ImageTransform.Resize.squash(Self.wide))
    #expect(String(decoding: wide, as: UTF8.self) == #"{"mode":"squash","pixels":[224,448]}"#)
    let unknown = Data(#"{"mode":"stretch","pixels":3}"#.utf8)
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(ImageTransform.Resize.self, from: unknown)
    }
  }
}
