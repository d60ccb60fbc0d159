import GraftSystem

/// A line of Python that makes a safetensors file of what people have, to be copied into a shell.
enum PythonRecipe {
  /// Without what stands before the names.
  case withoutPrefix(String)

  /// The whole line.
  ///
  /// - Parameter path: The file to convert; a placeholder stands for one that cannot be written plainly.
  func line(for path: FilePath) -> String {
    let text = printable(path)
    let isPlain = path.text == text && !text.contains("'")
    return "python3 -c \"\(program)\" \(isPlain ? "'\(text)'" : "IN") OUT.safetensors"
  }

  private var program: String {
    switch self {
    case .withoutPrefix(let prefix):
      """
      import sys; from safetensors.torch import load_file, save_file; p = '\(prefix)'; \
      save_file({k[len(p):]: v for k, v in load_file(sys.argv[1]).items() if k.startswith(p)}, sys.argv[2])
      """
    }
  }
}

/// What to do about a file that cannot be used as it is.
enum FileAdvice {
  case words(String)
  case python(PythonRecipe)

  /// In a sentence, or in a sentence and a line to copy.
  func text(for path: FilePath) -> String {
    switch self {
    case .words(let text): text
    case .python(let recipe):
      "Make a safetensors file of it with Python:\n  \(recipe.line(for: path))"
    }
  }
}
