import Foundation
import Graft
import Testing

/// Standard streams that are full, closed, or read by someone who goes away.
@Suite(.enabled(if: Command.isBuilt && FileManager.default.fileExists(atPath: "/dev/full")))
struct StreamCommandTests {
  private static let verbs = [
    "devices", "devices --json", "--help", "--version", "train --help",
    "predict --model run data/val/red/0.png", "predict --model run --json data/val/red/0.png",
    "info --backbone \"$BACKBONE\" --heads 4 --json", "eval --model run --data data",
    "eval --model run --data data --json",
  ]

  @Test func aResultThatCannotBeWrittenEndsWith73() async throws {
    let folder = try await TestFolder.trained()
    for verb in Self.verbs {
      let full = try await Command.shell("\"$GRAFT\" \(verb) > /dev/full", in: folder)
      #expect(full.status == 73 && !full.crashed, "\(verb): \(full.status)")
      #expect(full.errors.contains("No space left on device"), "\(verb): \(full.errors)")
      let closed = try await Command.shell("\"$GRAFT\" \(verb) >&-", in: folder)
      #expect(closed.status == 73 && !closed.crashed, "\(verb): \(closed.status)")
      #expect(closed.errors.contains("Bad file descriptor"), "\(verb): \(closed.errors)")
    }
  }

  @Test func whatStandardErrorDoesNotTakeIsDropped() async throws {
    let folder = try await TestFolder.trained()
    for redirection in ["2>&-", "2> /dev/full"] {
      for (words, status): (String, Int32) in [
        ("predict --model run nothing.png", 65), ("predict --model run data/val/red/0.png", 0),
        ("predict --model run --json data/val/red/0.png", 0), ("train --nonsense", 64), ("devices", 0),
      ] {
        let outcome = try await Command.shell("\"$GRAFT\" \(words) \(redirection)", in: folder)
        #expect(outcome.status == status && !outcome.crashed, "\(words) \(redirection): \(outcome.status)")
        #expect(outcome.output.isEmpty == (status != 0), "\(words) \(redirection): \(outcome.output)")
      }
      try folder.write([], to: "data/train/red/broken.png")
      let skipped = try await Command.shell(
        "\"$GRAFT\" \(shortTraining) --skip-broken --out skipped \(redirection); S=$?; "
          + "\"$GRAFT\" eval --model skipped --data data > /dev/null || S=1; rm -r skipped; exit $S",
        in: folder)
      #expect(skipped.status == 0, "\(redirection): \(skipped.errors)")
    }
  }

  /// Whatever can be saved is saved first.
  @Test func trainingIsSavedThoughNobodyCanBeTold() async throws {
    let folder = try await TestFolder.trained()
    let backbone = try Data(contentsOf: URL(fileURLWithPath: Command.backbone))
    for (name, redirection) in [
      ("full", "> /dev/full"), ("closed", ">&-"), ("json", "--json > /dev/full"),
      // The files that are opened next must not become the standard streams.
      ("all", "<&- >&- 2>&-"),
    ] {
      let outcome = try await Command.shell(
        "\"$GRAFT\" \(shortTraining) --out \(name) \(redirection)", in: folder)
      #expect(outcome.status == 73 && !outcome.crashed, "\(name): \(outcome.status)")
      let used = try await Command.run(
        ["eval", "--model", folder.path + "/" + name, "--data", folder.path + "/data", "--json"])
      #expect(used.status == 0, "\(name): \(used.errors)")
      #expect(folder.exists("\(name)/checkpoint.safetensors") && folder.exists("\(name)/metrics.jsonl"))
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: Command.backbone)) == backbone)
  }

  /// `graft train | head`: the step is finished and saved, and the run can be continued.
  @Test(arguments: ["", "--json"]) func aReaderThatGoesAwayStopsTheRun(_ json: String) async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let outcome = try await Command.shell(
      "\"$GRAFT\" \(longTraining) --out run \(json) | head -n 8 > /dev/null; exit ${PIPESTATUS[0]}",
      in: folder)
    #expect(outcome.status == 73 && !outcome.crashed, "\(outcome.status)")
    #expect(outcome.errors.contains("Interrupted after step"), "\(outcome.errors)")
    #expect(folder.exists("run/checkpoint.safetensors"))
    let resumed = try await Command.shell(
      "\"$GRAFT\" \(longTraining) --out run --resume --json | head -n 8 > log; tail -n 2 log", in: folder)
    let step = resumed.lines.compactMap { $0?["step"]?.intValue }.first ?? 0
    #expect(step > 1, "\(resumed.output) \(resumed.errors)")
  }

  /// Ctrl-C reaches `tee` first: the pipe closes, and then the signal comes.
  @Test func ctrlCThatKillsTheReaderFirst() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let outcome = try await Command.shell(
      """
      mkfifo pipe; cat pipe > log & READER=$!
      "$GRAFT" \(longTraining) --out run --json > pipe & TRAINER=$!
      until [ $(wc -l < log) -gt 20 ]; do sleep 0.05; done
      kill -KILL $READER; kill -INT $TRAINER; wait $TRAINER
      """, in: folder)
    #expect(outcome.status == 130 && !outcome.crashed, "\(outcome.status) \(outcome.errors)")
    #expect(folder.exists("run/checkpoint.safetensors"))
  }

  /// As with `| less`: the pipe is full, and the writer stands in a call that does not end by itself.
  @Test func ctrlCWhileTheReaderDoesNotRead() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let outcome = try await Command.shell(
      """
      mkfifo pipe; sleep 600 < pipe & READER=$!
      "$GRAFT" \(longTraining) --out run --json > pipe & TRAINER=$!
      until [ -s run/metrics.jsonl ]; do sleep 0.1; done
      SEEN=-1; until [ $(wc -c < run/metrics.jsonl) = $SEEN ]; do SEEN=$(wc -c < run/metrics.jsonl); sleep 2; done
      kill -INT $TRAINER; wait $TRAINER; STATUS=$?
      kill -KILL $READER; exit $STATUS
      """, in: folder)
    #expect(
      outcome.status == 130 && outcome.errors.contains("and saved"), "\(outcome.status) \(outcome.errors)")
    #expect(folder.exists("run/checkpoint.safetensors"))
  }

  @Test func aTerminalThatGoesAwaySavesLikeATerm() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let outcome = try await Command.shell(
      """
      "$GRAFT" \(longTraining) --out run --json > log & TRAINER=$!
      until [ $(wc -l < log) -gt 20 ]; do sleep 0.05; done
      kill -HUP $TRAINER; wait $TRAINER
      """, in: folder)
    #expect(
      outcome.status == 130 && outcome.errors.contains("and saved"), "\(outcome.status) \(outcome.errors)")
    #expect(folder.exists("run/checkpoint.safetensors"))

    // Under nohup it goes on, until it is stopped otherwise.
    let held = try await Command.shell(
      """
      trap '' HUP
      "$GRAFT" \(longTraining) --out held --json > log2 & TRAINER=$!
      until [ $(wc -l < log2) -gt 20 ]; do sleep 0.05; done
      kill -HUP $TRAINER; SEEN=$(wc -l < log2)
      until [ $(wc -l < log2) -gt $((SEEN + 20)) ]; do sleep 0.05; done
      kill -TERM $TRAINER; wait $TRAINER
      """, in: folder)
    #expect(held.status == 130, "\(held.status) \(held.errors)")
  }
}
