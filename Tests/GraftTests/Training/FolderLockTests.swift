import Foundation
import GraftData
import GraftSystem
import Testing

@testable import Graft

/// A folder belongs to one run at a time, and no run is written over unseen.
@Suite(.serialized) struct FolderLockTests {
  private func trainer(_ folder: FilePath, _ vit: Backbone) throws -> Trainer {
    var recipe = Fixtures.recipe
    recipe.epochs = 1
    return try Trainer(GraftedModel.small("linear", on: vit), recipe: recipe, output: folder)
  }

  private func run(_ trainer: Trainer, resumes: Bool = false) async throws -> Trainer.Result {
    try await trainer.run(
      training: Fixtures.coloured(8), validation: Fixtures.coloured(3), resumes: resumes)
  }

  @Test func aFolderInUseIsRefused() async throws {
    try await Fixtures.withFolder { folder in
      let trainer = try trainer(folder, Fixtures.smallViT())
      do {
        let lock = try FolderLock(folder)
        let error = await #expect(throws: GraftError.self) { try await run(trainer) }
        #expect(error.map { "\($0)" }?.contains("another run is training into it") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.string) == [])
        withExtendedLifetime(lock) {}
      }
      #expect(try await run(trainer).steps == 1)
    }
  }

  @Test func aRunThatCameAndWentIsNotOverwritten() async throws {
    try await Fixtures.withFolder { folder in
      let vit = try Fixtures.smallViT()
      let (late, early) = (try trainer(folder, vit), try trainer(folder, vit))
      _ = try await run(early)
      let path = folder / Trainer.checkpointName
      let before = try Data(contentsOf: URL(fileURLWithPath: path.string))
      await #expect(throws: GraftError.self) { try await run(late) }
      #expect(try Data(contentsOf: URL(fileURLWithPath: path.string)) == before)
      // Going on with it is something else, and so is a trainer's own second run.
      #expect(try await run(late, resumes: true).steps == 1)
      #expect(try await run(early, resumes: true).steps == 1)
    }
  }
}
