import Foundation

/// The run's `metrics.jsonl`: one JSON object a line for every step and every pass.
final class MetricsFile {
  private let handle: FileHandle?
  private let path: String

  /// Opens the file of a run; lines past the step that the run continues from are dropped.
  init(folder: String?, keepingStepsThrough step: Int) throws {
    guard let folder else {
      handle = nil
      path = ""
      return
    }
    path = folder + "/metrics.jsonl"
    let kept = (try? String(contentsOfFile: path, encoding: .utf8)).map { text in
      text.split(separator: "\n").filter { line in
        let object = try? JSONDecoder().decode(Line.self, from: Data(line.utf8))
        return object.map { $0.step <= step } ?? false
      }
    }
    let text = step == 0 ? "" : (kept ?? []).map { $0 + "\n" }.joined()
    try AtomicFile.write(text, to: path)
    handle = FileHandle(forWritingAtPath: path)
    _ = try? handle?.seekToEnd()
  }

  deinit { try? handle?.close() }

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
    guard let handle else { return }
    let line: Line
    switch event {
    case .step(let epoch, let step, _, let loss, let rate, _):
      lastStep = step
      line = Line(event: "step", epoch: epoch + 1, step: step, loss: loss, learningRate: rate, top1: nil)
    case .epoch(let epoch, _, let loss, let validation):
      line = Line(
        event: "epoch", epoch: epoch, step: lastStep, loss: loss, learningRate: nil, top1: validation?.top1)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    do {
      try handle.write(contentsOf: encoder.encode(line) + Data("\n".utf8))
    } catch {
      throw CheckpointError.cannotWrite(path: path, reason: error.localizedDescription)
    }
  }
}
