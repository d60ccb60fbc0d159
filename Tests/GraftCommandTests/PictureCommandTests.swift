import Foundation
import Graft
import Testing

/// What `train` and `compare` do with pictures from pass to pass.
@Suite(.enabled(if: Command.isBuilt)) struct PictureCommandTests {
  private func train(_ options: String, in folder: TestFolder) async throws -> (Command.Outcome, plan: String)
  {
    let outcome = try await Command.shell(
      "rm -rf run2; \"$GRAFT\" \(shortTraining) --epochs 3 --out run2 \(options)", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let plan = outcome.output.split(separator: "\n").first { $0.contains("ictures: ") }
    return (outcome, String(plan ?? ""))
  }

  @Test func keptPicturesChangeNoBit() async throws {
    let folder = try await TestFolder.trained()
    let atRandom = "cropped at random before they are resized (--scaled-decoding"
    let caches = [
      ("--cache-images off", "decoded in every pass (--cache-images off)"), ("", "kept in memory"),
      ("--cache-images 20K", "those beyond 20.0 KiB (--cache-images) are decoded in every pass"),
    ]
    for augmentation in ["none", "ila", "vtab", "fgvc"] {
      var weights: Set<Data> = []
      for (cache, said) in caches {
        let (_, plan) = try await train("--augmentation \(augmentation) \(cache)", in: folder)
        weights.insert(try folder.bytes("run2/adapter_model.safetensors"))
        let words = augmentation == "fgvc" ? atRandom : said
        #expect(plan.contains(words), "\(plan)")
      }
      #expect(weights.count == 1, "\(augmentation)")
    }
  }

  @Test func scaledDecodingIsAnotherRun() async throws {
    let folder = try await TestFolder.trained()
    let (outcome, _) = try await train("--json --scaled-decoding", in: folder)
    let plan = outcome.lines.first { $0?["event"] == "pictures" } ?? nil
    #expect(plan?["scaled_decoding"] == true && plan?["kept"] == true && plan?["bytes"] == 186_624)
    let resumed = "\"$GRAFT\" \(shortTraining) --epochs 3 --out run2 --resume"
    let other = try await Command.shell(resumed, in: folder)
    #expect(other.status != 0 && other.errors.contains("how they are decoded"), "\(other.errors)")
    #expect(try await Command.shell(resumed + " --scaled-decoding", in: folder).status == 0)
  }
}
