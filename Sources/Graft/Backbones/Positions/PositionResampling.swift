/// How a table of positions is resampled to another size.
///
/// Code bases differ here, and a mix-up costs accuracy without an error; the names say whose each one is.
public enum PositionResampling: String, Codable, CaseIterable, Sendable {
  /// Bicubic with antialiasing, half-pixel centres: timm from its own safetensors, DINOv2 with registers, open_clip.
  case bicubicAntialias = "bicubic_antialias"
  /// Bilinear, half-pixel centres: timm from Google's npz files, HuggingFace's BEiT.
  case bilinearHalfPixel = "bilinear_half_pixel"
  /// Bicubic, half-pixel centres: MAE and HuggingFace.
  case bicubicHalfPixel = "bicubic_half_pixel"
  /// Bilinear, corner on corner: the Flax original, and ILA.
  case bilinearAlignedCorners = "bilinear_aligned_corners"
  /// Bicubic, half-pixel centres, of a grid that is stretched as if a tenth of a cell were to be added: the originals of
  /// DINO, and of DINOv2 without registers.
  ///
  /// They give PyTorch's `interpolate` the factor `(new + 0.1) / old`, lest rounding lose a cell; the output has `new`
  /// cells, but the factor moves where each is read.
  case bicubicOffset = "bicubic_offset"
  /// Relative positions, bilinear between distances in geometric progression: timm from BEiT's files
  /// (`resize_rel_pos_bias_table`).
  ///
  /// The table's rows come to stand further apart the further they are from the middle, so that near cells keep what they
  /// give each other. A grid of absolute positions is resampled as ``bicubicAntialias``.
  case geometric
}

extension PositionResampling {
  /// One input sample's share in an output sample.
  struct Tap {
    let index: Int
    let weight: Double
  }

  /// The input samples that make each output sample along one axis.
  func taps(from old: Int, to new: Int) -> [[Tap]] {
    let scale = Double(old) / (Double(new) + (self == .bicubicOffset ? 0.1 : 0))
    return (0..<new).map { i in
      let center = (Double(i) + 0.5) * scale
      switch self {
      case .bilinearAlignedCorners:
        let step = new > 1 ? Double(old - 1) / Double(new - 1) : 0
        return linear(at: Double(i) * step, count: old)
      case .bilinearHalfPixel: return linear(at: max(0, center - 0.5), count: old)
      case .bicubicHalfPixel, .bicubicOffset: return cubic(at: center - 0.5, count: old)
      case .bicubicAntialias, .geometric: return antialiasedCubic(center: center, scale: scale, count: old)
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
