import GraftSystem

/// Places labels beside the markers of a scatter plot so that nothing covers anything, where there is room.
///
/// Greedy: the label in the densest place chooses first, each takes the cheapest of some rings of positions around its
/// marker; then each may move once more in a few rounds, now that all are there. What stands away from its marker is
/// tied to it by a line.
struct LabelPlacement {
  struct Point {
    var x: Double
    var y: Double
  }

  struct Box {
    var x: Double
    var y: Double
    var width: Double
    var height: Double

    func overlap(_ other: Box) -> Double {
      let across = min(x + width, other.x + other.width) - max(x, other.x)
      let down = min(y + height, other.y + other.height) - max(y, other.y)
      return across > 0 && down > 0 ? across * down : 0
    }

    func grown(_ margin: Double) -> Box {
      Box(x: x - margin, y: y - margin, width: width + 2 * margin, height: height + 2 * margin)
    }

    /// The point of the box that is nearest to another.
    func nearest(to point: Point) -> Point {
      Point(x: min(max(point.x, x), x + width), y: min(max(point.y, y), y + height))
    }
  }

  /// A marker and its label's size.
  struct Marker {
    var center: Point
    var radius: Double
    /// The marker and its whiskers.
    var box: Box
    var labelWidth: Double
  }

  struct Label {
    var box: Box
    /// From the marker's edge to the label, where it stands away.
    var line: (from: Point, to: Point)?
  }

  let bounds: Box
  let markers: [Marker]
  let labelHeight: Double

  /// One label a marker, in the order of the markers.
  func labels() -> [Label] {
    var placed: [Int: Label] = [:]
    let crowds = markers.indices.map { index in
      markers.filter { distance($0.center, markers[index].center) < 60 }.count
    }
    let order = markers.indices.sorted { (crowds[$0], $1) > (crowds[$1], $0) }
    for index in Array(repeating: order, count: 4).joined() {
      placed[index] = nil
      let costs = candidates(for: index).map { (label: $0.label, cost: cost($0, of: index, placed)) }
      placed[index] = costs.min { $0.cost < $1.cost }?.label
    }
    return markers.indices.compactMap { placed[$0] }
  }

  private typealias Candidate = (label: Label, distance: Double)

  private func candidates(for index: Int) -> [Candidate] {
    let marker = markers[index]
    return [3, 10, 20, 32, 46, 62, 80, 100, 125, 155].flatMap { gap in
      (0..<24).map { step in
        let angle = Double(step) * .pi / 12
        let (across, down) = (cos(angle), sin(angle))
        let anchor = Point(
          x: marker.center.x + (marker.radius + gap) * across,
          y: marker.center.y + (marker.radius + gap) * down)
        // The label hangs on the anchor by the side that faces the marker.
        let box = Box(
          x: anchor.x - marker.labelWidth * (1 - across) / 2, y: anchor.y - labelHeight * (1 - down) / 2,
          width: marker.labelWidth, height: labelHeight)
        let end = box.nearest(to: marker.center)
        let length = max(distance(end, marker.center), 1e-9)
        let start = Point(
          x: marker.center.x + (end.x - marker.center.x) * marker.radius / length,
          y: marker.center.y + (end.y - marker.center.y) * marker.radius / length)
        return (Label(box: box, line: gap > 8 ? (start, end) : nil), gap - 2 * across)
      }
    }
  }

  private func cost(_ candidate: Candidate, of index: Int, _ placed: [Int: Label]) -> Double {
    let box = candidate.label.box
    var cost = candidate.distance
    let inside = box.overlap(bounds)
    cost += 50 * (box.width * box.height - inside)
    for (other, marker) in markers.enumerated() {
      cost += 50 * box.overlap(other == index ? marker.box : marker.box.grown(2))
      guard other != index else { continue }
      if let line = candidate.label.line, crosses(line, marker.box) { cost += 20 + 5 * marker.radius }
      // A label beside another marker could be that one's.
      let gap = distance(box.nearest(to: marker.center), marker.center) - marker.radius
      if gap < 8 { cost += 40 }
    }
    for label in placed.values {
      cost += 50 * box.overlap(label.box.grown(2))
      if let line = candidate.label.line {
        if crosses(line, label.box.grown(1)) { cost += 400 }
        if let other = label.line, crosses(line, other) { cost += 150 }
      }
      if let other = label.line, crosses(other, box.grown(1)) { cost += 400 }
    }
    return cost
  }

  private func distance(_ a: Point, _ b: Point) -> Double { hypot(a.x - b.x, a.y - b.y) }

  private typealias Line = (from: Point, to: Point)

  private func crosses(_ line: Line, _ other: Line) -> Bool {
    func side(_ a: Point, _ b: Point, _ c: Point) -> Double {
      (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
    }
    return side(line.from, line.to, other.from) * side(line.from, line.to, other.to) < 0
      && side(other.from, other.to, line.from) * side(other.from, other.to, line.to) < 0
  }

  private func crosses(_ line: Line, _ box: Box) -> Bool {
    let corners = [
      Point(x: box.x, y: box.y), Point(x: box.x + box.width, y: box.y),
      Point(x: box.x + box.width, y: box.y + box.height), Point(x: box.x, y: box.y + box.height),
    ]
    let isInside = { (point: Point) in
      point.x > box.x && point.x < box.x + box.width && point.y > box.y && point.y < box.y + box.height
    }
    return isInside(line.from) || isInside(line.to)
      || corners.indices.contains { crosses(line, (corners[$0], corners[($0 + 1) % 4])) }
  }
}
