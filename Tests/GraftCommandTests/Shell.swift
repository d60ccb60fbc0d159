import Foundation

extension Command {
  /// Runs a script of bash, in which `$GRAFT` is the command and `$BACKBONE` a small backbone.
  ///
  /// For what Foundation's processes cannot do: redirect to full and closed descriptors, hand over words that are no
  /// UTF-8, and start from another folder.
  static func shell(
    _ script: String, in folder: TestFolder, environment: [String: String] = [:]
  ) async throws -> Outcome {
    let variables = environment.merging(["GRAFT": path, "BACKBONE": backbone]) { $1 }
    // Test runners ignore SIGPIPE, and children would go on doing so; a shell's do not. They also block most signals,
    // as children then do: what a script ends, it ends by SIGKILL.
    return try await run(
      ["--default-signal=PIPE,HUP", "/bin/bash", "-c", "cd \"$FOLDER\"\n" + script], of: "/usr/bin/env",
      environment: variables.merging(["FOLDER": folder.path]) { $1 })
  }
}

extension TestFolder {
  /// Pictures under `data`, and a linear probe trained on them under `run`.
  static func trained() async throws -> TestFolder {
    let folder = try TestFolder()
    try folder.writeData("data")
    let outcome = try await Command.train(
      folder.path + "/data", folder.path + "/run", "linear", ["--epochs", "1", "--batch-size", "6"])
    guard outcome.status == 0 else { throw Failure(text: outcome.errors) }
    return folder
  }

  private struct Failure: Error { let text: String }
}

/// The options of a short training on `data` into `run2`.
let shortTraining = """
  train --backbone "$BACKBONE" --heads 4 --image-size 48 --data data --adapter linear --epochs 1 --batch-size 6
  """
/// Of one that lasts until it is stopped.
let longTraining = """
  train --backbone "$BACKBONE" --heads 4 --image-size 48 --data data --adapter lora --epochs 5000 --batch-size 6
  """
