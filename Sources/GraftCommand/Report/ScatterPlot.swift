import GraftSystem

/// The papers' plot: accuracy over multiply-accumulates, a marker's area for the trainable parameters.
struct ScatterPlot {
  let section: ComparisonReport.Section
  let width: Double
  let height: Double
  /// Distinguishes the plots of one page.
  let identifier: String

  private let fontSize = 12.0
  private let smallestRadius = 3.5
  private var left: Double { 46 }
  private var right: Double { width - 14 }
  private var top: Double { 40 }
  private var bottom: Double { height - 46 }

  /// The plot as an SVG element that takes its colours from the page.
  var svg: String {
    let rows = section.rows
    let x = Axis(rows.map(\.gmac), from: left, to: right, ticks: width > 600 ? 8 : 4)
    let y = Axis(
      rows.flatMap { [$0.top1.range.lowerBound, $0.top1.range.upperBound] }, from: bottom, to: top, ticks: 7)
    let markers = rows.map { row in
      let center = LabelPlacement.Point(x: x.position(row.gmac), y: y.position(row.top1.mean))
      let radius = radius(row.trainableParameters)
      let high = min(center.y - radius, y.position(row.top1.range.upperBound))
      let low = max(center.y + radius, y.position(row.top1.range.lowerBound))
      return LabelPlacement.Marker(
        center: center, radius: radius,
        box: .init(x: center.x - radius, y: high, width: 2 * radius, height: low - high),
        labelWidth: 0.56 * fontSize * Double(row.label.count) + 4)
    }
    let labels = LabelPlacement(
      bounds: .init(x: left + 2, y: top, width: right - left - 2, height: bottom - top - 2), markers: markers,
      labelHeight: fontSize + 2
    ).labels()
    // Large markers first, so that none hides a smaller one.
    let order = rows.indices.sorted { markers[$0].radius > markers[$1].radius }
    return """
      <svg id="\(identifier)" viewBox="0 0 \(Int(width)) \(Int(height))" role="img" \
      aria-labelledby="\(identifier)-title \(identifier)-description" font-size="\(Int(fontSize))">
      <title id="\(identifier)-title">Accuracy over operations: \(section.title.escapedForHTML)</title>
      <desc id="\(identifier)-description">\(description.escapedForHTML)</desc>
      \(axes(x, y))
      \(legend)
      <g class="lines">
      \(labels.compactMap(\.line).map { #"<line \#(number("x1", $0.from.x)) \#(number("y1", $0.from.y)) \#(number("x2", $0.to.x)) \#(number("y2", $0.to.y))/>"# }.joined(separator: "\n"))
      </g>
      <g class="markers">
      \(order.map { marker(rows[$0], markers[$0], y) }.joined(separator: "\n"))
      </g>
      <g class="labels">
      \(zip(rows, labels).map { label($0, $1.box) }.joined(separator: "\n"))
      </g>
      </svg>
      """
  }

  private var description: String {
    guard let best = section.rows.first else { return "No runs." }
    return """
      A scatter plot of \(section.rows.count) methods, top-1 accuracy in percent over GMAC an image; larger markers train more \
      parameters. The best is \(best.label) with \(best.top1.text) % at \(best.gmacText) GMAC. The table holds \
      all figures.
      """
  }

  private func marker(_ row: ComparisonReport.Row, _ marker: LabelPlacement.Marker, _ y: Axis) -> String {
    let range = row.top1.range
    let whisker =
      range.lowerBound < range.upperBound
      ? #"<line class="whisker" \#(number("x1", marker.center.x)) \#(number("y1", y.position(range.lowerBound))) \#(number("x2", marker.center.x)) \#(number("y2", y.position(range.upperBound)))/>"#
      : ""
    return """
      <g><title>\(row.label.escapedForHTML): \(row.top1.text) %, \(row.gmacText) GMAC, \
      \(grouped(row.trainableParameters)) trainable parameters</title>\(whisker)<circle \(number("cx", marker.center.x)) \
      \(number("cy", marker.center.y)) \(number("r", marker.radius))/></g>
      """
  }

  private func label(_ row: ComparisonReport.Row, _ box: LabelPlacement.Box) -> String {
    let middle = box.x + box.width / 2
    let base = box.y + box.height - 3.5
    return
      #"<text text-anchor="middle" \#(number("x", middle)) \#(number("y", base))>\#(row.label.escapedForHTML)</text>"#
  }

  private func axes(_ x: Axis, _ y: Axis) -> String {
    let horizontal = y.ticks.map { tick in
      let position = y.position(tick)
      return """
        <line \(number("x1", left)) \(number("y1", position)) \(number("x2", right)) \(number("y2", position))/>\
        <text text-anchor="end" \(number("x", left - 7)) \(number("y", position + 4))>\(y.text(tick))</text>
        """
    }
    let vertical = x.ticks.map { tick in
      let position = x.position(tick)
      return """
        <line \(number("x1", position)) \(number("y1", bottom)) \(number("x2", position)) \(number("y2", bottom + 5))/>\
        <text text-anchor="middle" \(number("x", position)) \(number("y", bottom + 19))>\(x.text(tick))</text>
        """
    }
    return """
      <g class="axes">
      \((horizontal + vertical).joined(separator: "\n"))
      <line class="base" \(number("x1", left)) \(number("y1", bottom)) \(number("x2", right)) \(number("y2", bottom))/>
      <text class="name" x="4" y="16">Top-1, %</text>
      <text class="name" text-anchor="end" \(number("x", right)) \(number("y", height - 6))>GMAC an image</text>
      </g>
      """
  }

  /// Three markers with round numbers of parameters.
  private var legend: String {
    let most = Double(section.rows.map(\.trainableParameters).max() ?? 1)
    // 1, 3, 10, 30, ... up to the most, as far as their sizes differ.
    let round = (0..<20).reversed().map { pow(10, Double($0 / 2)) * ($0 % 2 == 0 ? 1 : 3) }
    let counts = round.filter { $0 <= most && radius(Int($0)) > smallestRadius }.prefix(3)
    var position = right
    var parts: [String] = []
    for count in counts {
      let text =
        count >= 1e6
        ? "\(format(count / 1e6, 0)) M" : count >= 1e3 ? "\(format(count / 1e3, 0)) K" : "\(Int(count))"
      let radius = radius(Int(count))
      position -= 0.6 * fontSize * Double(text.count) + 2
      parts.append(#"<text \#(number("x", position)) y="16">\#(text)</text>"#)
      position -= radius + 4
      parts.append(#"<circle \#(number("cx", position)) cy="12" \#(number("r", min(radius, 11)))/>"#)
      position -= radius + 10
    }
    parts.append(#"<text class="name" text-anchor="end" \#(number("x", position)) y="16">Trainable</text>"#)
    return #"<g class="legend">\#(parts.joined())</g>"#
  }

  /// Area in proportion to the count, but never too small to see.
  private func radius(_ parameters: Int) -> Double {
    let most = Double(max(section.rows.map(\.trainableParameters).max() ?? 1, 1))
    return max(smallestRadius, (width > 600 ? 15 : 12) * (Double(parameters) / most).squareRoot())
  }

  private func number(_ name: String, _ value: Double) -> String { "\(name)=\"\(format(value, 1))\"" }
}

/// A linear axis with round ticks.
private struct Axis {
  let ticks: [Double]
  private let step: Double
  private let range: ClosedRange<Double>
  private let from: Double
  private let to: Double

  init(_ values: [Double], from: Double, to: Double, ticks count: Int) {
    (self.from, self.to) = (from, to)
    let (low, high) = (values.min() ?? 0, values.max() ?? 1)
    let span = max(high - low, abs(high) * 0.02, 1e-3)
    let padding = 0.08 * span + (high - low < span ? span / 2 : 0)
    range = (low - padding)...(high + padding)
    let rough = (range.upperBound - range.lowerBound) / Double(count)
    let power = pow(10, floor(log10(rough)))
    let step = power * ([1, 2, 5].first { $0 * power >= rough } ?? 10)
    self.step = step
    let first = Int((range.lowerBound / step).rounded(.up))
    let last = Int((range.upperBound / step).rounded(.down))
    ticks = first <= last ? (first...last).map { Double($0) * step } : []
  }

  func position(_ value: Double) -> Double {
    from + (to - from) * (value - range.lowerBound) / (range.upperBound - range.lowerBound)
  }

  func text(_ tick: Double) -> String { format(tick, max(0, Int(-floor(log10(step))))) }
}
