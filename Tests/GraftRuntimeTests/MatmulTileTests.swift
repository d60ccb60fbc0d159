import Testing

@testable import GraftRuntime

/// One place decides which tile multiplies, and every device can hold what it says.
@Suite struct MatmulTileTests {
  private func choose(
    _ rows: Int, _ columns: Int, on traits: DeviceTraits = TuningTests.nvidia
  ) -> MatmulTile {
    MatmulTile.choose(
      rows: rows, columns: columns, tuning: .default(for: traits), items: traits.largestGroup,
      localMemory: traits.localMemory)
  }

  @Test func rowsDecideTheTile() {
    func area(_ rows: Int, _ columns: Int) -> String {
      let tile = choose(rows, columns)
      return "\(tile.rows)x\(tile.columns)"
    }
    // A class token, a batch of them, an image or two, eight, more.
    #expect(area(1, 768) == "8x32" && area(16, 1000) == "16x32" && area(32, 3072) == "32x32")
    #expect(area(197, 768) == "32x64" && area(394, 3072) == "32x64")
    #expect(area(1576, 768) == "64x64" && area(6304, 3072) == "128x128")
    #expect(MatmulRows(600) == .few && MatmulRows(601) == .some && MatmulRows(2401) == .many)
    // No more columns than the result has.
    #expect(area(6304, 8) == "64x16" && area(6304, 17) == "128x32" && area(6304, 64) == "128x64")
    #expect(area(6304, 65) == "128x128" && area(197, 4) == "64x16")
  }

  @Test(arguments: DeviceFamily.allCases)
  func candidatesAreWhatTheKernelTakes(_ family: DeviceFamily) {
    for rows in MatmulRows.allCases {
      let candidates = MatmulTile.candidates(family, rows)
      #expect(Set(candidates).count == candidates.count)
      for tile in candidates {
        // The least that devices of these families have.
        #expect(tile.fault(items: 256, localMemory: 32 << 10) == nil, "\(tile)")
        #expect(MatmulTile("\(tile)") == tile)
        // Whole quads for each item, and no more of them than registers hold.
        #expect((tile.rows + tile.columns) * tile.depth <= 64 * tile.items, "\(tile)")
      }
    }
  }

  @Test func everyDeviceHoldsEveryTile() {
    let tiles =
      DeviceFamily.allCases.flatMap { family in
        MatmulRows.allCases.flatMap { MatmulTile.candidates(family, $0) }
      } + [choose(1, 99), choose(12, 99), choose(30, 99), choose(99, 1)]
    for items in [1, 2, 5, 12, 16, 64, 128, 256, 1024] {
      for kibibytes in [1, 4, 16, 32, 64] {
        for tile in tiles {
          let held = tile.limited(items: items, localMemory: kibibytes << 10)
          #expect(held.fault(items: items, localMemory: kibibytes << 10) == nil, "\(tile) becomes \(held)")
        }
      }
    }
    let tile = MatmulTile(128, 128, item: (8, 8))
    #expect(tile.limited(items: 256, localMemory: 32 << 10) == tile)
    #expect(tile.limited(items: 1, localMemory: 384).items == 1)
  }

  @Test func lanesAreForChipsThatHaveThem() {
    func lanes(_ chip: String?, subgroups: Bool = true) -> String {
      var traits = TuningTests.intel
      (traits.chip, traits.hasSubgroups) = (chip, subgroups)
      let matmul = Tuning.default(for: traits).matmul
      return matmul.kernel == .lanes ? "\(matmul.lanes)" : "none"
    }
    #expect(lanes("tgllp") == "8 lanes x 8 rows" && lanes("dg2") == "16 lanes x 8 rows")
    #expect(lanes("pvc") == "16 lanes x 16 rows" && lanes("xe20.1") == "16 lanes x 8 rows")
    #expect(lanes(nil) == "none" && lanes("dg2", subgroups: false) == "none")
    #expect(Tuning.default(for: TuningTests.nvidia).matmul.kernel == .tiles)
    let lanes = MatmulLanes(wave: 16, rows: 8)
    #expect(lanes.waves(rows: 1, items: 256, localMemory: 64 << 10) == 1)
    #expect(lanes.waves(rows: 24, items: 256, localMemory: 64 << 10) == 2)
    #expect(lanes.waves(rows: 99, items: 256, localMemory: 64 << 10) == 4)
    #expect(lanes.waves(rows: 99, items: 40, localMemory: 64 << 10) == 2)
    #expect(lanes.waves(rows: 99, items: 256, localMemory: 1 << 10) == 1)
    #expect(lanes.waves(rows: 99, items: 8, localMemory: 64 << 10) == nil)
  }
}
