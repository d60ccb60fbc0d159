import GraftSystem

/// The run's `metrics.jsonl`: one JSON object a line for every step and every pass.
final class MetricsFile {
  static let name = "metrics.jsonl"

  private let file: FileDescriptor?
  private let path: FilePath

  /// Opens the file of a run; lines past the step that the run continues from are dropped.
  init(folder: FilePath?, keepingStepsThrough step: Int) throws {
    guard let folder else {
      file = nil
      path = ""
      return
    }
    path = folder / Self.name
    let before = step == 0 ? [] : (try? RegularFile.read(path, atMost: .max)) ?? []
    let kept = before.split(separator: UInt8(ascii: "\n")).filter { line in
      (try? JSON.value(Line.self, of: Array(line))).map { $0.step <= step } ?? false
    }
    try AtomicFile.write(kept.flatMap { $0 + [UInt8(ascii: "\n")] }, to: path)
    do {
      file = try FileDescriptor.open(path, .writeOnly, options: [.append, .closeOnExec])
    } catch {
      throw CheckpointError.cannotWrite(path: path, reason: Errno(any: error).description)
    }
  }

  deinit { try? file?.close() }

  private struct Line: Codable {
    var event: String
    var epoch: Int
    var step: Int
    var loss: Double
    var learningRate: Double?
    var top1: Double?

    enum CodingKeys: String, CodingKey {
      case event, epoch, step, loss, top1
      case learningRate = "learning_rate"
    }
  }

  private var lastStep = 0

  func write(_ event: Trainer.Event) throws {
    guard let file else { return }
    let line: Line
    switch event {
    case .step(let epoch, let step, _, let loss, let rate, _):
      lastStep = step
      line = Line(event: "step", epoch: epoch + 1, step: step, loss: loss, learningRate: rate, top1: nil)
    case .epoch(let epoch, _, let loss, let validation):
      line = Line(
        event: "epoch", epoch: epoch, step: lastStep, loss: loss, learningRate: nil, top1: validation?.top1)
    }
    let bytes = try JSON.bytes(of: line, .escapedLine) + [UInt8(ascii: "\n")]
    do {
      try file.writeAll(bytes)
    } catch {
      throw CheckpointError.cannotWrite(path: path, reason: Errno(any: error).description)
    }
  }
}
