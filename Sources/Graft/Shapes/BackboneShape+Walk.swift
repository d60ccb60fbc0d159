extension BackboneShape {
  /// What an image goes through, block by block, with what stands at the sites: the one place where tokens are counted.
  struct Walk {
    /// What stands at the sites in the order in which the tokens come by, with their layout before it.
    var places: [(place: AdapterPlan.Place, before: TokenLayout)] = []
    /// The layout that each block's parts see.
    var layouts: [TokenLayout] = []
    /// Multiply-accumulates of an image up to the end of each block, of frozen layers and of what stands there.
    var macs: [(frozen: Int, joined: Int)] = []
    /// Multiply-accumulates of an image up to its feature.
    var total = (frozen: 0, joined: 0)
  }

  func walk(_ places: [AdapterPlan.Place]) -> Walk {
    var walk = Walk()
    var (stem, end): ([AdapterPlan.Place], [AdapterPlan.Place]) = ([], [])
    var inBlocks = [[AdapterPlan.Place]](repeating: [], count: depth)
    for place in places {
      if let block = place.site.block {
        inBlocks[block].append(place)
      } else if place.site.blocksBelow(depth: depth) == 0 {
        stem.append(place)
      } else {
        end.append(place)
      }
    }
    var layout = start
    var (frozen, joined) = (0, 0)
    func pass(_ place: AdapterPlan.Place) {
      walk.places.append((place, layout))
      let after = layout.changed(by: place.change)
      joined += place.macs(layout, after)
      layout = after
    }
    frozen += self.stem.operations.reduce(0) { $0 + $1.macs(of: layout) }
    stem.forEach(pass)
    for block in blocks {
      let places = inBlocks[block.index]
      for place in places where place.site == .beforeBlock(block.index) { pass(place) }
      walk.layouts.append(layout)
      frozen += block.macs(of: layout)
      for place in places
      where place.site != .beforeBlock(block.index) && place.site != .afterBlock(block.index) { pass(place) }
      for place in places where place.site == .afterBlock(block.index) { pass(place) }
      walk.macs.append((frozen, joined))
    }
    frozen += self.end.macs(of: layout)
    end.forEach(pass)
    walk.total = (frozen, joined)
    return walk
  }
}
