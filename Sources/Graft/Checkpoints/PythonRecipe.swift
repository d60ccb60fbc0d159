import GraftSystem

/// A line of Python that makes a safetensors file of what people have, to be copied into a shell.
///
/// Tensors are copied one by one: the safetensors library refuses those that share memory or have gaps.
enum PythonRecipe {
  /// From a PyTorch file; of `model`, `state_dict` or `teacher` inside it where there is one. Nothing in it is executed.
  case fromPyTorch
  /// From the files that an index names.
  case fromShards
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
    case .fromPyTorch:
      """
      import sys, torch; from safetensors.torch import save_file; \
      d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); \
      d = next((d[k] for k in ('model', 'state_dict', 'teacher') if k in d), d); \
      save_file({k: v.contiguous().clone() for k, v in d.items() if isinstance(v, torch.Tensor)}, sys.argv[2])
      """
    case .fromShards:
      """
      import sys, json, os; from safetensors.torch import load_file, save_file; \
      m = json.load(open(sys.argv[1]))['weight_map']; f = os.path.dirname(sys.argv[1]); \
      save_file({k: v for n in sorted(set(m.values())) for k, v in load_file(os.path.join(f, n)).items()}, sys.argv[2])
      """
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
    case .python(let recipe): "Make a safetensors file of it with Python:\n  \(recipe.line(for: path))"
    }
  }
}
