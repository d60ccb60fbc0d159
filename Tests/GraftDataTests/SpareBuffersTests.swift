import Graft
import Testing

@testable import GraftData

@Suite struct SpareBuffersTests {
  @Test("a buffer is used again, larger or smaller")
  func reuse() {
    let spare = SpareBuffers()
    var buffer = spare.take(1000)
    #expect(buffer.count == 1000)
    let place = buffer.withUnsafeMutableBufferPointer { UInt(bitPattern: $0.baseAddress) }
    spare.giveBack(buffer)
    buffer = []
    for count in [10, 1000, 999, 1] {
      var again = spare.take(count)
      #expect(again.count == count)
      #expect(again.withUnsafeMutableBufferPointer { UInt(bitPattern: $0.baseAddress) } == place)
      spare.giveBack(again)
    }
    #expect(spare.take(1_000_000).count == 1_000_000)
  }

  @Test("pictures of different sizes leave nothing in each other")
  func pictures() throws {
    let decoder = ImageDecoder(maximumPixels: 1 << 20)
    for name in ["rgb.jpg", "cmyk.jpg", "grey.jpg", "progressive.jpg", "rgb.jpg", "grey.jpg"] {
      for divisor in [1, 4, 2] {
        let image = try decoder.decode(file: Fixtures.path(name)) { _, _ in divisor }
        let fresh = try ImageDecoder(maximumPixels: 1 << 20).decode(file: Fixtures.path(name)) { _, _ in
          divisor
        }
        #expect(image == fresh)
        decoder.buffers.giveBack(image.pixels.map { ~$0 })
      }
    }
  }
}
