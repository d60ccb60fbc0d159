import Foundation
import Testing

@testable import Graft

/// Learning rates against PyTorch's and against the formulas.
@Suite struct ScheduleTests {
  /// PyTorch's rates for 20 steps.
  ///
  /// python -c "import torch; o = torch.optim.SGD([torch.zeros(1)], lr=1); s =
  /// torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.01, total_steps=20, cycle_momentum=False); print([(s.get_last_lr(),
  /// o.step(), i < 19 and s.step())[0] for i in range(20)])"
  static let oneCycle = [
    0.0003999999999999993, 0.0013167184270002508, 0.003716718427000252, 0.006683281572999748,
    0.009083281572999747, 0.01, 0.009874640062350875, 0.009504846320134737, 0.0089091617757105,
    0.008117456539497631, 0.007169430017913008, 0.0061126202193628925, 0.00500002, 0.003887419780637108,
    0.0028306099820869924, 0.00188258346050237, 0.0010908782242895004, 0.0004951936798652628,
    0.00012539993764912555, 4e-08,
  ]

  @Test func oneCycleEqualsPyTorch() {
    let schedule = LearningRateSchedule.oneCycle(rise: 0.3, division: 25, finalDivision: 1e4)
    for (step, expected) in Self.oneCycle.enumerated() {
      let rate = schedule.rate(step: step, of: 20, stepsPerEpoch: 5, peak: 0.01)
      #expect(abs(rate - expected) < 1e-12, "step \(step)")
    }
  }

  /// methods.md 1.5: linear from 1e-6 over 500 steps, then a cosine to 1e-5 whose clock is not shifted.
  @Test func cosineFollowsTheILACode() {
    let schedule = LearningRateSchedule.cosine(warmupSteps: 500, warmupEpochs: 0, start: 1e-6, floor: 1e-5)
    let (peak, total) = (0.1, 1500)
    for step in [0, 1, 250, 499] {
      let expected = 1e-6 + Double(step) * (peak - 1e-6) / 500
      #expect(abs(schedule.rate(step: step, of: total, stepsPerEpoch: 30, peak: peak) - expected) < 1e-15)
    }
    for step in [500, 750, 1499] {
      let expected = 1e-5 + 0.5 * (peak - 1e-5) * (1 + cos(.pi * Double(step) / Double(total)))
      #expect(abs(schedule.rate(step: step, of: total, stepsPerEpoch: 30, peak: peak) - expected) < 1e-15)
    }
    #expect(abs(schedule.rate(step: 750, of: total, stepsPerEpoch: 30, peak: peak) - 0.050005) < 1e-12)
  }

  @Test func warmupInEpochs() {
    let schedule = LearningRateSchedule.cosine(warmupSteps: 0, warmupEpochs: 10, start: 1e-7, floor: 1e-8)
    #expect(schedule.rate(step: 0, of: 700, stepsPerEpoch: 7, peak: 5e-3) == 1e-7)
    let half = schedule.rate(step: 35, of: 700, stepsPerEpoch: 7, peak: 5e-3)
    #expect(abs(half - (1e-7 + (5e-3 - 1e-7) / 2)) < 1e-12)
    let first = schedule.rate(step: 70, of: 700, stepsPerEpoch: 7, peak: 5e-3)
    #expect(abs(first - (1e-8 + (5e-3 - 1e-8) / 2 * (1 + cos(.pi / 10)))) < 1e-12)
  }

  /// Runs of a step or two have rates too: finite, above zero, never above the peak.
  @Test(arguments: [1, 2, 3, 5])
  func shortRuns(_ steps: Int) throws {
    for name in TrainingRecipe.presetNames {
      let recipe = try TrainingRecipe.preset(name, for: LinearProbe())
      for step in 0..<steps {
        let rate = recipe.schedule.rate(step: step, of: steps, stepsPerEpoch: 1, peak: recipe.learningRate)
        #expect(rate.isFinite && rate > 0 && rate <= recipe.learningRate, "\(name), step \(step)")
      }
    }
    #expect(LearningRateSchedule.constant.rate(step: 0, of: steps, stepsPerEpoch: 1, peak: 0.3) == 0.3)
  }
}
