import GraftRuntime

/// How a kernel over rows is spread over a device: see LANES, TEAMS and KEPT in common.cl.
///
/// A CPU's work-item runs through whole rows. Elsewhere a team of lanes shares a row, each with four neighbouring floats at
/// a time, and several teams make a group.
struct RowPlan {
  /// Work-items that share a row.
  let lanes: Int
  /// Rows that a group works on at a time.
  let teams: Int
  /// Rows that a group works on.
  let perGroup: Int
  private let groups: Int
  private let width: Int
  private let waves: [KernelKey.Macro]

  /// - Parameters:
  ///   - rows: how many there are.
  ///   - width: floats of a row that lanes run along.
  ///   - isReadAgain: in later passes: then a row may have more lanes, so that each can keep its share.
  ///   - perItem: rows of a work-item of a CPU.
  init(rows: Int, width: Int, on context: Context, isReadAgain: Bool = false, perItem: Int = 8) {
    let traits = context.traits
    self.width = width
    waves = Shuffles.macros(on: context) ?? traits.waveMacros
    var lanes = 1
    if !traits.isCPU {
      let runs = width % Self.run == 0 ? width / Self.run : width
      let limit = traits.teamItems(of: Self.groupItems, floats: 8)
      let wave = min(limit, traits.family.waveLanes)
      while lanes < wave, lanes < 2 || lanes < runs { lanes *= 2 }
      // A share of more registers than these leaves room for few rows at a time.
      while isReadAgain, lanes < min(64, limit), runs > Self.mostKept * lanes { lanes *= 2 }
    }
    self.lanes = lanes
    teams = lanes == 1 ? 1 : traits.teams(of: lanes, in: Self.groupItems, floats: 8)
    perGroup = lanes == 1 ? (traits.isCPU ? perItem : 1) : teams
    groups = (rows + perGroup - 1) / perGroup
  }

  /// Floats of one load.
  private static let run = 4
  /// Loads that an item keeps at most.
  private static let mostKept = 8
  /// Work-items of a group: two or four waves, so that few groups fill a core.
  private static let groupItems = 128

  var global: [Int] { lanes == 1 ? [groups] : [groups * lanes, teams] }
  var group: [Int] { lanes == 1 ? [1] : [lanes, teams] }
  var macros: [KernelKey.Macro] {
    [.init("LANES", lanes), .init("TEAMS", teams)] + (lanes == 1 ? [] : waves)
  }

  /// With what an item keeps of its row, if that is little enough.
  var macrosKeeping: [KernelKey.Macro] {
    guard lanes > 1, width % Self.run == 0 else { return macros }
    let kept = (width / Self.run + lanes - 1) / lanes
    return kept > Self.mostKept ? macros : macros + [.init("KEPT", kept)]
  }
}

/// How a kernel that sums over rows is spread over the columns: a lane has one, and the teams of a group share the rows.
struct ColumnPlan {
  let lanes: Int
  let teams: Int

  init(width: Int, on context: Context) {
    let traits = context.traits
    var lanes = 1
    if !traits.isCPU {
      let limit = traits.teamItems(of: 256, floats: 1)
      // 32 floats are the whole sectors that a wave reads of a row.
      while lanes < min(32, limit), lanes < 2 || lanes < width { lanes *= 2 }
    }
    self.lanes = lanes
    teams = lanes == 1 ? 1 : min(32, traits.teams(of: lanes, in: 256, floats: 1))
  }

  /// Work-items along the columns.
  func items(_ width: Int) -> Int { (width + lanes - 1) / lanes * lanes }
  var group: [Int] { [lanes, teams] }
  var macros: [KernelKey.Macro] { [.init("LANES", lanes), .init("TEAMS", teams)] }
}

/// How a kernel that turns a matrix is spread over it: square tiles go through local memory.
struct TilePlan {
  /// Side of a tile; 1 where kernels for CPUs run, without tiles.
  let side: Int
  let teams: Int

  init(on context: Context) {
    let traits = context.traits
    var side = 1
    if !traits.isCPU {
      side = 32
      while side > 1, side > traits.largestGroup || 4 * side * (side + 1) > traits.localMemory { side /= 2 }
    }
    self.side = side
    teams = side == 1 ? 1 : min(side, traits.teams(of: side, in: 256, floats: 0))
  }

  func tiles(_ length: Int) -> Int { (length + side - 1) / side }
  var macros: [KernelKey.Macro] { [.init("LANES", side), .init("TEAMS", teams)] }
}

extension DeviceTraits {
  /// Work-items of a group, `wanted` at most: a power of two for which `floats` each fit local memory.
  fileprivate func teamItems(of wanted: Int, floats: Int) -> Int {
    var items = wanted
    while items > 1, items > largestGroup || 4 * items * floats > localMemory { items /= 2 }
    return items
  }

  /// Teams of so many lanes in such a group.
  fileprivate func teams(of lanes: Int, in wanted: Int, floats: Int) -> Int {
    var teams = max(1, wanted / lanes)
    let most = maxWorkItemSizes.count > 1 ? maxWorkItemSizes[1] : 1
    while teams > 1,
      teams * lanes > maxWorkGroupSize || teams > most || 4 * teams * lanes * floats > localMemory
    { teams /= 2 }
    return teams
  }
}
