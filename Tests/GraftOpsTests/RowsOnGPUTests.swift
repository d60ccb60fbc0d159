import GraftCases
import GraftRuntime
import Testing

@testable import GraftOps

/// Kernels over rows, arrays and channels as GPUs of each family run them, on whatever device is here.
@Suite(.serialized) struct RowsOnGPUTests {
  /// A wave of 32 lanes, one of 64, and what is not known.
  private static let chips: [String?] = ["sm_90", "gfx942", nil]

  /// By shuffles where the device has them, whose sums are those through local memory to the bit.
  @Test(
    .enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason),
    .enabled(if: (try? Device.select().traits.hasShuffles) == true, "no subgroups of a size to ask for"))
  func shufflesGiveTheSameSums() throws {
    let context = try Self.context("dg2")
    #expect(Shuffles.macros(on: context) != nil)
    for check in AllCases.widths { #expect(try check.verify(on: context) == [], "\(check)") }
  }

  private static func context(_ chip: String?) throws -> Context {
    let device = try Device.select().changing { traits in
      traits.kind = .gpu
      traits.chip = chip
    }
    return try Context(device, checksMemory: true)
  }

  /// Each chip takes every twelfth case, so that together they take a quarter; GRAFT_LIMITS=all takes all for each.
  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason), arguments: chips.indices)
  func everyWidthIsRight(_ index: Int) throws {
    let context = try Self.context(Self.chips[index])
    for (number, check) in AllCases.widths.enumerated()
    where Runtime.takesAll || number % (4 * Self.chips.count) == 4 * index {
      #expect(try check.verify(on: context) == [], "\(check)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// A group that is smaller than a wave leaves lanes idle, whatever it does.
  @Test(arguments: chips) func groupsAreWholeWaves(_ chip: String?) throws {
    let context = try Self.context(chip)
    let launches = try AllCases.widths.flatMap { try $0.launches(on: context) }
    #expect(launches.count > 100)
    for launch in launches {
      let wanted = min(launch.global.reduce(1, *), context.traits.family.waveLanes)
      #expect(launch.group.reduce(1, *) >= wanted, "\(launch)")
    }
  }

  /// Whatever the width, lanes read whole loads beside each other and a group has as many rows as fill it.
  @Test(arguments: chips) func plansFillTheirGroups(_ chip: String?) throws {
    let context = try Self.context(chip)
    for width in [1, 3, 8, 16, 37, 64, 96, 192, 384, 768, 1024, 1536, 2048, 4096] {
      let plan = RowPlan(rows: 1000, width: width, on: context, isReadAgain: true)
      #expect(plan.lanes * plan.teams == 128, "\(width)")
      let isKept = plan.macrosKeeping.count > plan.macros.count
      #expect(isKept == (width % 4 == 0 && width <= 2048), "\(width)")
    }
    for width in [1, 8, 768] {
      let plan = ColumnPlan(width: width, on: context)
      #expect(plan.lanes * plan.teams >= 64, "\(width)")
    }
  }

  /// A device that allows next to nothing gets what it allows.
  @Test func plansStayWithinLimits() throws {
    for (group, local) in [(1, 1 << 10), (4, 1 << 10), (16, 256), (256, 1 << 10)] {
      let device = try Device.select().changing { traits in
        (traits.kind, traits.localMemory, traits.maxWorkGroupSize) = (.gpu, local, group)
        traits.maxWorkItemSizes = [group, max(1, group / 8), 1]
      }
      let context = try Context(device)
      for width in [1, 16, 768] {
        let rows = RowPlan(rows: 9, width: width, on: context, isReadAgain: true)
        let columns = ColumnPlan(width: width, on: context)
        let tiles = TilePlan(on: context)
        for (lanes, teams) in [
          (rows.lanes, rows.teams), (columns.lanes, columns.teams), (tiles.side, tiles.teams),
        ] {
          #expect(lanes * teams <= group && teams <= max(1, group / 8))
        }
        #expect(rows.lanes * rows.teams * 32 <= max(local, 32))
        #expect(4 * tiles.side * (tiles.side + 1) <= max(local, 8))
      }
    }
  }
}
