/// Resampling that equals `Image.resize` of Pillow up to 12 bit for bit on 8-bit channels.
///
/// An output sample at `i` looks at the input around `c = (i + 1/2) * s`, `s` being input size over output size. It
/// weighs each input sample `j` by `f((j + 1/2 - c) / max(s, 1))`, so that the filter widens when an image shrinks,
/// and the weights are normalised to sum to one. Weights are rounded to 22 fractional bits; a pass sums integers,
/// rounds, and clamps to a byte. Columns come first, rows second.
///
/// Pillow 13 does the rows first where the height shrinks by more than twice as many pixels as the width, such as 375 by
/// 500 pixels to 300 by 300, or anything more than twice as high as wide when its shape is kept. Up to 25 % of the samples
/// then differ from ours, by 1 or 2 of 255. That order is not offered: it rounds before the axis that averages less of the
/// rounding away, so that it is nowhere nearer to the exact sums by more than 0.0001 of 255, and 0.359 in place of 0.344 off
/// them for that shape (root of the mean square). It saves a tenth of the time there, and not always.
/// `tools/resize_orders.py` makes these figures.
enum Resampling {
  /// A rectangle of pixels.
  struct Rect: Equatable {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
  }

  /// Resizes `region` of an image to `width` by `height` and returns the `window` of the result, RGB.
  ///
  /// Only what the window needs is computed, so the cost does not depend on what is cropped away.
  static func resize(
    _ image: RGBImage, region: Rect, width: Int, height: Int, window: Rect, filter: ResamplingFilter
  ) -> [UInt8] {
    precondition(region.x >= 0 && region.y >= 0 && region.width > 0 && region.height > 0)
    precondition(region.x + region.width <= image.width && region.y + region.height <= image.height)
    precondition(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0)
    precondition(window.x + window.width <= width && window.y + window.height <= height)

    if region.width == width && region.height == height {
      return copy(
        image,
        Rect(x: region.x + window.x, y: region.y + window.y, width: window.width, height: window.height))
    }
    let columns = AxisWeights(
      input: region.width, output: width, range: window.x..<window.x + window.width, filter: filter)
    let rows = AxisWeights(
      input: region.height, output: height, range: window.y..<window.y + window.height, filter: filter)

    // The rows that the second pass will read.
    let first = rows.starts.min() ?? 0
    let last = zip(rows.starts, rows.counts).map { $0 + $1 }.max() ?? 0
    let narrow = resizeColumns(image, region: region, rows: first..<last, columns)
    return resizeRows(narrow, width: window.width, first: first, rows)
  }

  private static func copy(_ image: RGBImage, _ rect: Rect) -> [UInt8] {
    var result = [UInt8]()
    result.reserveCapacity(rect.width * rect.height * 3)
    for y in rect.y..<rect.y + rect.height {
      let start = (y * image.width + rect.x) * 3
      result += image.pixels[start..<start + rect.width * 3]
    }
    return result
  }

  private static func resizeColumns(
    _ image: RGBImage, region: Rect, rows: Range<Int>, _ columns: AxisWeights
  ) -> [UInt8] {
    let outputs = columns.starts.count
    let count = rows.count * outputs * 3
    return image.pixels.withUnsafeBufferPointer { pixels in
      columns.weights.withUnsafeBufferPointer { weights in
        [UInt8](unsafeUninitializedCapacity: count) { result, initialized in
          var target = 0
          for row in rows {
            let line = ((region.y + row) * image.width + region.x) * 3
            for output in 0..<outputs {
              var red = AxisWeights.half
              var green = AxisWeights.half
              var blue = AxisWeights.half
              var source = line + columns.starts[output] * 3
              let base = output * columns.stride
              for tap in base..<base + columns.counts[output] {
                let weight = weights[tap]
                red &+= Int32(pixels[source]) &* weight
                green &+= Int32(pixels[source + 1]) &* weight
                blue &+= Int32(pixels[source + 2]) &* weight
                source += 3
              }
              result[target] = AxisWeights.byte(red)
              result[target + 1] = AxisWeights.byte(green)
              result[target + 2] = AxisWeights.byte(blue)
              target += 3
            }
          }
          initialized = count
        }
      }
    }
  }

  private static func resizeRows(
    _ pixels: [UInt8], width: Int, first: Int, _ rows: AxisWeights
  ) -> [UInt8] {
    let line = width * 3
    let count = rows.starts.count * line
    var sums = [Int32](repeating: 0, count: line)
    return pixels.withUnsafeBufferPointer { pixels in
      sums.withUnsafeMutableBufferPointer { sums in
        [UInt8](unsafeUninitializedCapacity: count) { result, initialized in
          for output in rows.starts.indices {
            sums.update(repeating: AxisWeights.half)
            for tap in 0..<rows.counts[output] {
              let weight = rows.weights[output * rows.stride + tap]
              let source = (rows.starts[output] - first + tap) * line
              for x in 0..<line { sums[x] &+= Int32(pixels[source + x]) &* weight }
            }
            for x in 0..<line { result[output * line + x] = AxisWeights.byte(sums[x]) }
          }
          initialized = count
        }
      }
    }
  }
}

/// A separable filter: its weight at a distance, and the distance beyond which it is zero.
enum ResamplingFilter {
  case bilinear
  case bicubic

  var support: Double {
    switch self {
    case .bilinear: 1
    case .bicubic: 2
    }
  }

  func weight(at distance: Double) -> Double {
    let x = abs(distance)
    switch self {
    case .bilinear:
      return x < 1 ? 1 - x : 0
    case .bicubic:
      // Keys' cubic convolution with a = -1/2.
      let a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      if x < 2 { return a * (((x - 5) * x + 8) * x - 4) }
      return 0
    }
  }
}

/// The taps of one axis, for a range of its outputs.
private struct AxisWeights {
  /// First input sample of each output.
  var starts: [Int] = []
  /// Number of input samples of each output.
  var counts: [Int] = []
  /// Weights with `bits` fractional bits, `stride` entries an output.
  var weights: [Int32] = []
  /// Entries that each output has in `weights`, used or not.
  let stride: Int

  static let bits: Int32 = 22
  static let half: Int32 = 1 << (bits - 1)

  init(input: Int, output: Int, range: Range<Int>, filter: ResamplingFilter) {
    let scale = Double(input) / Double(output)
    let widening = max(scale, 1)
    let reach = filter.support * widening
    stride = min(Int(reach.rounded(.up)) * 2 + 1, input)
    weights = [Int32](repeating: 0, count: range.count * stride)
    var raw = [Double](repeating: 0, count: stride)
    for (position, index) in range.enumerated() {
      let centre = (Double(index) + 0.5) * scale
      // Half a sample of slack, cut towards zero, at both ends.
      let start = max(0, Int(centre - reach + 0.5))
      let end = min(input, Int(centre + reach + 0.5))
      let count = end - start
      var sum = 0.0
      for tap in 0..<count {
        raw[tap] = filter.weight(at: (Double(start + tap) - centre + 0.5) / widening)
        sum += raw[tap]
      }
      for tap in 0..<count {
        let weight = (sum == 0 ? raw[tap] : raw[tap] / sum) * Double(1 << Self.bits)
        weights[position * stride + tap] = Int32(weight.rounded(.toNearestOrAwayFromZero))
      }
      starts.append(start)
      counts.append(count)
    }
  }

  @inline(__always)
  static func byte(_ sum: Int32) -> UInt8 {
    UInt8(truncatingIfNeeded: max(0, min(255, sum >> bits)))
  }
}
