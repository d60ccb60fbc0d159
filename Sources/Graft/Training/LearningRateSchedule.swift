import GraftSystem

/// How the learning rate moves over the steps of a run.
public enum LearningRateSchedule: Codable, Sendable, Hashable {
  /// Always the peak.
  case constant
  /// Half a cosine from the peak to `floor` over all steps; the first `warmupSteps` (or `warmupEpochs`) rise linearly
  /// from `start` instead. The cosine's clock is not shifted by the warm-up.
  case cosine(warmupSteps: Int, warmupEpochs: Int, start: Double, floor: Double)
  /// Rises from `peak / division` along a cosine for `rise` of the steps and falls to `peak / division / finalDivision`:
  /// PyTorch's OneCycleLR without momentum cycling.
  case oneCycle(rise: Double, division: Double, finalDivision: Double)

  /// The rate of a step.
  ///
  /// - Parameters:
  ///   - step: from 0.
  ///   - steps: of the whole run.
  ///   - stepsPerEpoch: of one pass.
  ///   - peak: the recipe's learning rate.
  public func rate(step: Int, of steps: Int, stepsPerEpoch: Int, peak: Double) -> Double {
    func cosine(from: Double, to: Double, _ progress: Double) -> Double {
      to + (from - to) / 2 * (1 + cos(.pi * progress))
    }
    switch self {
    case .constant: return peak
    case .cosine(let warmupSteps, let warmupEpochs, let start, let floor):
      let warmup = max(warmupSteps, warmupEpochs * stepsPerEpoch)
      if step < warmup { return start + Double(step) * (peak - start) / Double(warmup) }
      return cosine(from: peak, to: floor, Double(step) / Double(steps))
    case .oneCycle(let rise, let division, let finalDivision):
      let top = rise * Double(steps) - 1
      let initial = peak / division
      if Double(step) <= top { return cosine(from: initial, to: peak, top > 0 ? Double(step) / top : 1) }
      let progress = (Double(step) - top) / (Double(steps - 1) - top)
      return cosine(from: peak, to: initial / finalDivision, min(1, progress))
    }
  }
}
