/// How a grid of position embeddings is resampled to another size.
///
/// Code bases differ here, and a mix-up costs accuracy without an error; the names say whose each one is.
public enum PositionResampling: String, Codable, CaseIterable, Sendable {
  /// Bicubic with antialiasing, half-pixel centres: timm from its own safetensors.
  case bicubicAntialias = "bicubic_antialias"
  /// Bilinear, half-pixel centres: timm from Google's npz files.
  case bilinearHalfPixel = "bilinear_half_pixel"
  /// Bicubic, half-pixel centres: MAE and HuggingFace.
  case bicubicHalfPixel = "bicubic_half_pixel"
  /// Bilinear, corner on corner: the Flax original, and ILA.
  case bilinearAlignedCorners = "bilinear_aligned_corners"
}

/// Position embeddings for another image size than the backbone was trained on.
public enum PositionEmbedding {
  /// Resamples a grid as PyTorch's `interpolate` does.
  ///
  /// Each output is a weighted sum over rows, then over columns: `y[i, j, :] = sum_b v[j, b] * sum_a u[i,
  /// a] * x[a, b, :]`, with `u` and `v` from the convention. Sums are in double precision. A grid that has
  /// the new size already is returned as it is.
  ///
  /// - Parameters:
  ///   - values: The grid in row-major order, `old.count * dimension` values; tokens without a place in the
  ///     grid (CLS) are not part of it.
  ///   - old: The grid's size.
  ///   - new: The size wanted.
  ///   - dimension: Length of one embedding.
  ///   - convention: Whose resampling.
  /// - Returns: `new.count * dimension` values in row-major order.
  public static func resample(
    _ values: [Float], from old: Grid, to new: Grid, dimension: Int, convention: PositionResampling
  ) -> [Float] {
    precondition(dimension > 0 && values.count == old.count * dimension, "values do not fill the grid")
    if old == new { return values }
    let input = values.map(Double.init)
    let rows = convention.taps(from: old.rows, to: new.rows)
    let columns = convention.taps(from: old.columns, to: new.columns)

    let line = old.columns * dimension
    var tall = [Double](repeating: 0, count: new.rows * line)
    for (i, taps) in rows.enumerated() {
      for tap in taps {
        for k in 0..<line { tall[i * line + k] += tap.weight * input[tap.index * line + k] }
      }
    }
    var output = [Double](repeating: 0, count: new.count * dimension)
    for i in 0..<new.rows {
      for (j, taps) in columns.enumerated() {
        let target = (i * new.columns + j) * dimension
        for tap in taps {
          let source = i * line + tap.index * dimension
          for k in 0..<dimension { output[target + k] += tap.weight * tall[source + k] }
        }
      }
    }
    return output.map(Float.init)
  }
}

extension PositionResampling {
  /// One input sample's share in an output sample.
  fileprivate struct Tap {
    let index: Int
    let weight: Double
  }

  /// The input samples that make each output sample along one axis.
  fileprivate func taps(from old: Int, to new: Int) -> [[Tap]] {
    let scale = Double(old) / Double(new)
    return (0..<new).map { i in
      let center = (Double(i) + 0.5) * scale
      switch self {
      case .bilinearAlignedCorners:
        let step = new > 1 ? Double(old - 1) / Double(new - 1) : 0
        return linear(at: Double(i) * step, count: old)
      case .bilinearHalfPixel: return linear(at: max(0, center - 0.5), count: old)
      case .bicubicHalfPixel: return cubic(at: center - 0.5, count: old)
      case .bicubicAntialias: return antialiasedCubic(center: center, scale: scale, count: old)
      }
    }
  }

  private func linear(at position: Double, count: Int) -> [Tap] {
    let first = min(Int(position), count - 1)
    let fraction = position - Double(first)
    return [
      Tap(index: first, weight: 1 - fraction), Tap(index: min(first + 1, count - 1), weight: fraction),
    ]
  }

  /// Four neighbours; those beyond the border are the border's own value.
  private func cubic(at position: Double, count: Int) -> [Tap] {
    let base = position.rounded(.down)
    return (-1...2).map { offset in
      let index = Int(base) + offset
      return Tap(
        index: min(max(index, 0), count - 1), weight: cubicKernel(position - Double(index), a: -0.75))
    }
  }

  /// The neighbours under a kernel that widens as the grid shrinks; beyond the border there are none, and
  /// the rest is scaled to a sum of 1.
  private func antialiasedCubic(center: Double, scale: Double, count: Int) -> [Tap] {
    let stretch = max(1, scale)
    let support = 2 * stretch
    let first = max(0, Int(center - support + 0.5))
    let end = min(count, Int(center + support + 0.5))
    let taps = (first..<end).map { index in
      Tap(index: index, weight: cubicKernel((Double(index) + 0.5 - center) / stretch, a: -0.5))
    }
    let sum = taps.reduce(0) { $0 + $1.weight }
    return taps.map { Tap(index: $0.index, weight: $0.weight / sum) }
  }

  /// Keys' cubic convolution kernel.
  private func cubicKernel(_ distance: Double, a: Double) -> Double {
    let x = abs(distance)
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
    return 0
  }
}
