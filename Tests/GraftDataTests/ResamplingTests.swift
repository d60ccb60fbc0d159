import Testing

@testable import GraftData

@Suite struct ResamplingTests {
  @Test("equals Pillow bit for bit", arguments: Fixtures.cases.resize)
  func equalsPillow(_ golden: Fixtures.Cases.Resize) throws {
    let filter: ResamplingFilter = golden.filter == "bicubic" ? .bicubic : .bilinear
    let source = try Fixtures.source()
    let result = Resampling.resize(
      source, region: .init(x: 0, y: 0, width: source.width, height: source.height),
      width: golden.width, height: golden.height,
      window: .init(x: 0, y: 0, width: golden.width, height: golden.height), filter: filter)
    #expect(try result == Fixtures.bytes(golden.file))
  }

  @Test("what is equalled is the order of passes that Pillow had up to 12")
  func pillowVersion() throws {
    let major = try #require(Int(Fixtures.cases.pillow.prefix { $0 != "." }))
    #expect(major < 13)
    // Pillow 13 does the rows of these first, which gives other pixels: equalsPillow() finds the order by them.
    let changed = Fixtures.cases.resize.filter { $0.height < 29 && 29 - $0.height > 2 * (41 - $0.width) }
    #expect(changed.contains { ($0.width, $0.height) == (40, 7) })
    #expect(changed.contains { ($0.width, $0.height) == (60, 9) })
  }

  @Test("a window is the same part of the whole", arguments: [ResamplingFilter.bilinear, .bicubic])
  func windowIsPartOfWhole(_ filter: ResamplingFilter) throws {
    let source = try Fixtures.source()
    let region = Resampling.Rect(x: 3, y: 2, width: 30, height: 25)
    for (width, height) in [(17, 50), (30, 25), (64, 9)] {
      let whole = Resampling.resize(
        source, region: region, width: width, height: height,
        window: .init(x: 0, y: 0, width: width, height: height), filter: filter)
      let window = Resampling.Rect(x: 5, y: 4, width: 11, height: 4)
      let part = Resampling.resize(
        source, region: region, width: width, height: height, window: window, filter: filter)
      let expected = (0..<window.height).flatMap { y in
        let start = ((y + window.y) * width + window.x) * 3
        return whole[start..<start + window.width * 3]
      }
      #expect(part == expected)
    }
  }

  @Test("a region is resized as a picture of its own")
  func regionIsAPicture() throws {
    let source = try Fixtures.source()
    let region = Resampling.Rect(x: 7, y: 5, width: 20, height: 18)
    let window = Resampling.Rect(x: 0, y: 0, width: 13, height: 31)
    let copy = Resampling.resize(
      source, region: region, width: 20, height: 18,
      window: .init(x: 0, y: 0, width: 20, height: 18), filter: .bicubic)
    let alone = try RGBImage(width: 20, height: 18, pixels: copy)
    let fromRegion = Resampling.resize(
      source, region: region, width: 13, height: 31, window: window, filter: .bicubic)
    let fromCopy = Resampling.resize(
      alone, region: .init(x: 0, y: 0, width: 20, height: 18), width: 13, height: 31, window: window,
      filter: .bicubic)
    #expect(fromRegion == fromCopy)
  }

  @Test("a picture of one colour keeps it", arguments: [(1, 1), (5, 700), (300, 2)])
  func constantStaysConstant(_ size: (Int, Int)) throws {
    let pixels = (0..<size.0 * size.1).flatMap { _ in [UInt8](arrayLiteral: 0, 200, 255) }
    let image = try RGBImage(width: size.0, height: size.1, pixels: pixels)
    for filter in [ResamplingFilter.bilinear, .bicubic] {
      let result = Resampling.resize(
        image, region: .init(x: 0, y: 0, width: size.0, height: size.1), width: 9, height: 9,
        window: .init(x: 0, y: 0, width: 9, height: 9), filter: filter)
      #expect(result == (0..<81).flatMap { _ in [UInt8](arrayLiteral: 0, 200, 255) })
    }
  }
}
