import ArgumentParser
import Graft
import GraftRuntime
import GraftSystem
import Logging

/// The `graft` command.
@main
struct GraftCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graft",
    abstract: "Fine-tune small adapters on frozen vision backbones, on any OpenCL device.",
    discussion: """
      EXAMPLES
        graft devices
        graft info --backbone vit_base_patch16_224 --adapter ila --classes 80
        graft train --backbone dinov2_small.safetensors --data flowers \\
            --adapter alore --out runs/alore
        graft eval --model runs/alore --data flowers
        graft predict --model runs/alore photo.jpg
        graft merge --model runs/alore --out merged.safetensors
        graft compare --backbone dinov2_small.safetensors --data flowers \\
            --adapters all --preset quick --out runs/flowers

      DATA is a folder with train/CLASS/*.jpg and val/CLASS/*.jpg (or png, webp).
      Every verb takes --json for scripts: one JSON object a line on standard
      output, the last with "event":"done", or "error" with a message; text for
      people then goes to standard error. JSON holds names as they are; a byte
      that is no UTF-8 is U+10FF00 plus the byte.

      ENVIRONMENT
        GRAFT_DEVICE  chooses a device, as --device does
        GRAFT_TUNING  folder of what graft tune remembers, or off
        POCL_CACHE_DIR
                      folder of PoCL's compiled kernels, where HOME is of no use
        POCL_AFFINITY 0 lets PoCL's workers move between processors

      EXIT STATUS
        0   done
        64  wrong arguments or settings
        65  unusable data or files
        69  no such OpenCL device
        70  the device failed or has too little memory, or training diverged
        73  output cannot be written; what can be saved is saved
        130 interrupted (Ctrl-C, SIGTERM, SIGHUP), and saved
      """,
    version: Graft.version,
    subcommands: [
      DevicesCommand.self, InfoCommand.self, TrainCommand.self, EvalCommand.self, PredictCommand.self,
      FeaturesCommand.self, MergeCommand.self, ConvertCommand.self, CompareCommand.self, ReportCommand.self,
      BenchCommand.self, TuneCommand.self,
      DoctorCommand.self,
    ])

  /// As ArgumentParser's own, but with words as bytes, checked writing, and wrong arguments as a JSON line where `--json`
  /// asks for lines.
  static func main() async {
    StandardStream.prepare()
    StopSignal.prepare()
    let words = Array(commandLineWords.dropFirst())
    LoggingSystem.bootstrap { [isJSON = words.contains("--json")] label in
      let isCompilation = label == Warnings.compilationLabel
      return isCompilation ? CompilationLog(isJSON: isJSON) : StandardErrorLog() as any LogHandler
    }
    mendDriverEnvironment()
    pinDriverWorkers()
    do {
      var command = try parseAsRoot(words)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      exit(withError: ExitCode(tell(error, isJSON: words.contains("--json"))))
    }
  }

  /// Says what ended the command and returns its status; a bare status was told of by a reporter.
  private static func tell(_ error: any Error, isJSON: Bool) -> Int32 {
    let status = exitCode(for: error)
    guard !(error is ExitCode) else { return status.rawValue }
    let reporter = Reporter(isJSON: isJSON)
    guard status != .success else {
      // Help or the version.
      Reporter.put(fullMessage(for: error) + "\n")
      return (reporter.outputFailure() ?? status).rawValue
    }
    reporter.emit("error", ["message": .string(message(for: error))])
    reporter.note(Message(lines: fullMessage(for: error)))
    return status.rawValue
  }
}
