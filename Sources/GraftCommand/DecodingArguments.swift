import ArgumentParser
import GraftData

/// How pictures are read, for the verbs that read some.
struct DecodingArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Largest picture to read, in pixels; one takes up to 9 bytes a pixel while it is read.", valueName: "n")
  )
  var maxPixels = LoadingOptions.defaultMaximumPixels

  @Flag(
    help: """
      Decode large JPEG files to a half, a quarter or an eighth of their size, never below twice what they are resized \
      to: faster, and nearly the same pixels.
      """)
  var scaledDecoding = false

  var options: LoadingOptions { options(keeping: nil) }

  func options(keeping kept: KeptPictures?) -> LoadingOptions {
    LoadingOptions(maximumPixels: maxPixels, scaledDecoding: scaledDecoding, kept: kept)
  }

  func validate() throws {
    guard maxPixels > 0 else { throw ValidationError("--max-pixels must be at least 1.") }
  }
}
