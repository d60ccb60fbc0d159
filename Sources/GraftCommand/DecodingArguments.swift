import ArgumentParser
import GraftData

/// How pictures are read, for the verbs that read some.
struct DecodingArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Largest picture to read, in pixels; one takes up to 9 bytes a pixel while it is read.", valueName: "n")
  )
  var maxPixels = LoadingOptions.defaultMaximumPixels

  var options: LoadingOptions { LoadingOptions(maximumPixels: maxPixels) }

  func validate() throws {
    guard maxPixels > 0 else { throw ValidationError("--max-pixels must be at least 1.") }
  }
}
