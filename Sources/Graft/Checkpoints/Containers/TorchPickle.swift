import GraftSystem

/// What a pickle of PyTorch's says, read by a machine that runs nothing.
///
/// A pickle is a program: its instructions name functions of Python's, and call them. Here a name stays a name. Calls of the
/// few functions that make dictionaries and tensors become records of ours; a call of anything else becomes an object that
/// carries no more than the name, and that swallows what is put into it. Trainers' files are full of such (their arguments,
/// the optimizer's state); they are refused only where they stand in the place of weights.
///
/// Values refer to containers by number: nothing recurses or holds itself, however deep or circular the pickle makes it.
struct TorchPickle {
  /// A value on the machine's stack.
  enum Value {
    case none
    case flag(Bool)
    case integer(Int)
    /// A number that no tensor needs: a float, or an integer of more than 64 bits.
    case number
    case text(String)
    /// Bytes, or text that is no UTF-8.
    case bytes
    /// Index in ``TorchPickle/sequences``.
    case tuple(Int)
    /// Index in ``TorchPickle/sequences``.
    case list(Int)
    /// Index in ``TorchPickle/dictionaries``.
    case dictionary(Int)
    /// Something of Python's by its name, such as `collections.OrderedDict`.
    case name(String)
    /// What a call gave that is not known here, by the name of what was called.
    case object(String)
    /// Index in ``TorchPickle/storages``.
    case storage(Int)
    /// Index in ``TorchPickle/tensors``.
    case tensor(Int)
    /// A tensor that is not read.
    case otherTensor(OtherTensor)
  }

  /// What makes a tensor one that is not read, and what to do about it.
  struct OtherTensor {
    let what: String
    let advice: String
  }

  /// A dictionary's entries whose keys are text; others, such as the numbers in an optimizer's state, are left out.
  struct Dictionary {
    var entries: [String: Value] = [:]
    /// Whether a tensor was put into it.
    var holdsTensors = false
  }

  /// Elements in one piece, which tensors share.
  struct Storage: Equatable {
    let key: String
    let type: Safetensors.ElementType
    let count: Int
  }

  /// A view of a storage, inside its bounds; offset and strides in elements.
  struct Tensor {
    let storage: Int
    let offset: Int
    let shape: [Int]
    let strides: [Int]
    let count: Int
  }

  private(set) var sequences: [[Value]] = []
  private(set) var dictionaries: [Dictionary] = []
  private(set) var storages: [Storage] = []
  private(set) var tensors: [Tensor] = []
  /// Index in ``storages`` by key.
  private(set) var storageIndices: [String: Int] = [:]
  /// What the pickle stands for.
  private(set) var root = Value.none
  /// Bytes of the pickle, whose end nothing but its last instruction tells.
  var size: Int { position }

  /// Longest pickle that is read: that of a large backbone and its optimizer has some hundred kilobytes.
  static let maximumBytes = 64 << 20
  /// Most values that a pickle may put on the stack.
  private static let maximumValues = 1 << 22
  /// Deepest nesting of marks.
  private static let maximumMarks = 1000
  /// Longest key and name, in bytes: to look one up again and again must not take long.
  private static let maximumText = 512
  /// Largest number under which a value may be remembered.
  private static let maximumMemo = 1 << 24

  private let bytes: UnsafeRawBufferPointer
  private let path: FilePath
  private var position = 0
  private var spent = 0
  private var stack: [Value] = []
  private var marks: [Int] = []
  private var memo: [Int: Value] = [:]

  /// Reads the pickle at the beginning of some bytes, which must outlive the value.
  ///
  /// - Throws: ``CheckpointError``: an instruction that PyTorch does not write, or one that makes no sense.
  init(_ bytes: UnsafeRawBufferPointer, path: FilePath) throws(CheckpointError) {
    self.bytes = UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.maximumBytes))
    self.path = path
    while try step() {}
    guard stack.count == 1, marks.isEmpty else { throw fault("it ends with \(stack.count) values") }
    root = stack[0]
    (stack, memo) = ([], [:])
  }

  /// The items of a tuple or list; nil for anything else.
  func items(_ value: Value) -> [Value]? {
    switch value {
    case .tuple(let index), .list(let index): sequences[index]
    default: nil
    }
  }

  private func fault(_ detail: String) -> CheckpointError {
    .malformedFile(path: path, detail: "in its pickle, \(detail) (near byte \(position))")
  }
}

// MARK: The machine

extension TorchPickle {
  /// Carries out one instruction; false after the last.
  private mutating func step() throws(CheckpointError) -> Bool {
    let code: UInt8 = try take()
    switch code {
    case 0x80: try checkProtocol(take())
    case UInt8(ascii: "."): return false
    case UInt8(ascii: "}"):
      dictionaries.append(Dictionary())
      try push(.dictionary(dictionaries.count - 1))
    case UInt8(ascii: "]"): try push(sequence([], Value.list))
    case UInt8(ascii: ")"): try push(sequence([], Value.tuple))
    case UInt8(ascii: "("):
      guard marks.count < Self.maximumMarks else { throw fault("values are nested too deeply") }
      marks.append(stack.count)
    case UInt8(ascii: "t"): try push(sequence(popToMark(), Value.tuple))
    case 0x85: try push(sequence(pop(1), Value.tuple))
    case 0x86: try push(sequence(pop(2), Value.tuple))
    case 0x87: try push(sequence(pop(3), Value.tuple))
    case UInt8(ascii: "N"): try push(.none)
    case 0x88: try push(.flag(true))
    case 0x89: try push(.flag(false))
    case UInt8(ascii: "K"): try push(.integer(Int(take() as UInt8)))
    case UInt8(ascii: "M"): try push(.integer(Int(take() as UInt16)))
    case UInt8(ascii: "J"): try push(.integer(Int(take() as Int32)))
    case 0x8a: try push(longInteger(take(Int(take() as UInt8))))
    case UInt8(ascii: "G"):
      _ = try take(8)
      try push(.number)
    case UInt8(ascii: "X"): try push(text(take(Int(take() as UInt32))))
    case UInt8(ascii: "U"): try push(text(take(Int(take() as UInt8))))
    case UInt8(ascii: "B"):
      _ = try take(Int(take() as UInt32))
      try push(.bytes)
    case UInt8(ascii: "C"):
      _ = try take(Int(take() as UInt8))
      try push(.bytes)
    case UInt8(ascii: "c"):
      let module = try line()
      try push(.name("\(module).\(try line())"))
    case UInt8(ascii: "h"): try recall(Int(take() as UInt8))
    case UInt8(ascii: "j"): try recall(Int(take() as UInt32))
    case UInt8(ascii: "q"): try remember(Int(take() as UInt8))
    case UInt8(ascii: "r"): try remember(Int(take() as UInt32))
    case UInt8(ascii: "Q"): try push(persistent(pop(1)[0]))
    case UInt8(ascii: "R"):
      let call = try pop(2)
      try push(result(of: call[0], call[1]))
    case 0x81:
      let call = try pop(2)
      try push(.object(name(of: call[0])))
    case UInt8(ascii: "b"):
      _ = try pop(1)
      try checkBuilt()
    case UInt8(ascii: "s"): try setItems(pop(2))
    case UInt8(ascii: "u"): try setItems(popToMark())
    case UInt8(ascii: "a"): try append(pop(1))
    case UInt8(ascii: "e"): try append(popToMark())
    default: throw refused(code)
    }
    return true
  }

  private func checkProtocol(_ version: UInt8) throws(CheckpointError) {
    guard (2...3).contains(version) else {
      throw .notWeights(
        path: path, reason: "its pickle is of protocol \(version); PyTorch writes 2",
        advice:
          "Load it in Python, where you trust it, and save the state_dict with torch.save, pickle_protocol left out."
      )
    }
  }

  /// Instructions that other writers use: refused, since nothing of what they make is needed.
  private func refused(_ code: UInt8) -> CheckpointError {
    let character = (0x21...0x7e).contains(code) ? " (\(Character(Unicode.Scalar(code))))" : ""
    return .notWeights(
      path: path,
      reason:
        "its pickle has the instruction 0x\(String(code, radix: 16))\(character) at byte \(position - 1), which PyTorch does not write",
      advice: "Load it in Python, where you trust it, and save the model's state_dict with torch.save.")
  }

  // MARK: Bytes

  private mutating func take<Number: FixedWidthInteger & BitwiseCopyable>() throws(CheckpointError) -> Number
  {
    guard let number = bytes.number(Number.self, at: position) else { throw cutOff() }
    position += MemoryLayout<Number>.size
    return number
  }

  private mutating func take(_ count: Int) throws(CheckpointError) -> UnsafeRawBufferPointer {
    guard let slice = bytes.slice(at: position, count: count) else { throw cutOff() }
    position += count
    return slice
  }

  private func cutOff() -> CheckpointError {
    fault(bytes.count < Self.maximumBytes ? "it is cut off" : "it is longer than \(Self.maximumBytes) bytes")
  }

  /// A line of a name.
  private mutating func line() throws(CheckpointError) -> String {
    let rest = bytes[position...].prefix(Self.maximumText)
    guard let end = rest.firstIndex(of: 0x0a) else {
      throw rest.count < Self.maximumText
        ? cutOff() : fault("a name is longer than \(Self.maximumText) bytes")
    }
    defer { position = end + 1 }
    guard let text = String(validating: bytes[position..<end], as: UTF8.self) else {
      throw fault("a name is no text")
    }
    return text
  }

  private func text(_ bytes: UnsafeRawBufferPointer) -> Value {
    String(validating: bytes, as: UTF8.self).map(Value.text) ?? .bytes
  }

  /// Two's complement, the lowest byte first.
  private func longInteger(_ bytes: UnsafeRawBufferPointer) -> Value {
    guard bytes.count <= 8 else { return .number }
    let isNegative = bytes.last.map { $0 & 0x80 != 0 } ?? false
    return .integer(bytes.reversed().reduce(isNegative ? -1 : 0) { $0 << 8 | Int($1) })
  }

  // MARK: The stack

  private mutating func push(_ value: Value) throws(CheckpointError) {
    try spend(1)
    stack.append(value)
  }

  /// Counts values that are made, or looked at again.
  private mutating func spend(_ count: Int) throws(CheckpointError) {
    spent += count
    guard spent <= Self.maximumValues else { throw fault("there are more than \(Self.maximumValues) values") }
  }

  /// The topmost values, the deepest first; none from below a mark.
  private mutating func pop(_ count: Int) throws(CheckpointError) -> [Value] {
    guard stack.count - (marks.last ?? 0) >= count else { throw fault("a value is missing") }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(CheckpointError) -> [Value] {
    guard let mark = marks.popLast() else { throw fault("a mark is missing") }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  private mutating func sequence(_ items: [Value], _ value: (Int) -> Value) -> Value {
    sequences.append(items)
    return value(sequences.count - 1)
  }

  private mutating func recall(_ number: Int) throws(CheckpointError) {
    guard let value = memo[number] else { throw fault("value \(number) was not remembered") }
    try push(value)
  }

  private mutating func remember(_ number: Int) throws(CheckpointError) {
    guard number < Self.maximumMemo else { throw fault("a value is remembered as number \(number)") }
    guard let value = stack.last, stack.count > marks.last ?? 0 else { throw fault("a value is missing") }
    memo[number] = value
  }

  // MARK: Containers

  private mutating func setItems(_ items: [Value]) throws(CheckpointError) {
    guard items.count % 2 == 0, stack.count > marks.last ?? 0 else { throw fault("a key has no value") }
    switch stack.last {
    case .dictionary(let index):
      for pair in stride(from: 0, to: items.count, by: 2) { try set(items[pair], items[pair + 1], in: index) }
    case .object: break
    default: throw fault("entries are put into what is no dictionary")
    }
  }

  private mutating func set(_ key: Value, _ value: Value, in index: Int) throws(CheckpointError) {
    switch key {
    case .text(let key):
      guard key.utf8.count <= Self.maximumText else {
        throw fault("a key is longer than \(Self.maximumText) bytes")
      }
      switch value {
      case .tensor, .otherTensor: dictionaries[index].holdsTensors = true
      default: break
      }
      dictionaries[index].entries[key] = value
    case .none, .flag, .integer, .number, .tuple, .bytes: break
    default: throw fault("a dictionary's key is neither text nor a number")
    }
  }

  private mutating func append(_ items: [Value]) throws(CheckpointError) {
    guard stack.count > marks.last ?? 0 else { throw fault("a list is missing") }
    switch stack.last {
    case .list(let index): sequences[index] += items
    case .object: break
    default: throw fault("items are put into what is no list")
    }
  }

  /// State is put into an object; that of a dictionary (a module's `_metadata`) and of a tensor says nothing of weights.
  private func checkBuilt() throws(CheckpointError) {
    guard stack.count > marks.last ?? 0 else { throw fault("an object is missing") }
    switch stack.last {
    case .object, .dictionary, .tensor, .otherTensor: break
    default: throw fault("state is put into what is no object")
    }
  }
}

// MARK: Tensors

extension TorchPickle {
  /// What a call gives, without calling anything.
  private mutating func result(of function: Value, _ arguments: Value) throws(CheckpointError) -> Value {
    let name = try name(of: function)
    guard case .tuple(let index) = arguments else {
      throw fault("\(printable(name)) is called without arguments")
    }
    guard case .name = function else { return .object(name) }
    let arguments = sequences[index]
    switch name {
    case "collections.OrderedDict": return try orderedDictionary(arguments)
    case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor": return try tensor(arguments)
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
      switch arguments.first {
      case .tensor, .otherTensor: return arguments[0]
      case .object(let name): return .otherTensor(.made(by: name))
      default: throw fault("a parameter has no tensor")
      }
    default:
      // Quantised, sparse and others that torch makes again by functions of its own.
      return name.hasPrefix("torch.") && name.contains("._rebuild_")
        ? .otherTensor(.made(by: name)) : .object(name)
    }
  }

  private func name(of value: Value) throws(CheckpointError) -> String {
    switch value {
    case .name(let name), .object(let name): return name
    default: throw fault("what is called is no name")
    }
  }

  /// Empty, or of a list of pairs, as Python 2 wrote it.
  private mutating func orderedDictionary(_ arguments: [Value]) throws(CheckpointError) -> Value {
    dictionaries.append(Dictionary())
    let index = dictionaries.count - 1
    if let argument = arguments.first {
      guard arguments.count == 1, let pairs = items(argument) else {
        throw fault("a dictionary is made of no pairs")
      }
      try spend(pairs.count)
      for pair in pairs {
        guard let pair = items(pair), pair.count == 2 else { throw fault("a dictionary is made of no pairs") }
        try set(pair[0], pair[1], in: index)
      }
    }
    return .dictionary(index)
  }

  /// A storage: `('storage', class, key, location, count)`, in old files with a view behind it, which is none today.
  private mutating func persistent(_ value: Value) throws(CheckpointError) -> Value {
    guard case .tuple(let index) = value, (5...6).contains(sequences[index].count),
      case .text("storage") = sequences[index][0], case .name(let className) = sequences[index][1],
      case .text(let key) = sequences[index][2], case .integer(let count) = sequences[index][4], count >= 0,
      key.utf8.count <= Self.maximumText
    else { throw fault("a storage is not described as PyTorch does") }
    if sequences[index].count == 6 {
      guard case .none = sequences[index][5] else {
        throw fault("storage \(printable(key)) is a view of another")
      }
    }
    guard let type = Self.types[className] else { return .otherTensor(.made(by: className)) }
    guard type.bytes(of: count) != nil else { throw fault("storage \(printable(key)) is too large") }
    let storage = Storage(key: key, type: type, count: count)
    if let known = storageIndices[key] {
      guard storages[known] == storage else {
        throw fault("storage \(printable(key)) is described in two ways")
      }
      return .storage(known)
    }
    storages.append(storage)
    storageIndices[key] = storages.count - 1
    return .storage(storages.count - 1)
  }

  private static let types: [String: Safetensors.ElementType] = [
    "torch.DoubleStorage": .f64, "torch.FloatStorage": .f32, "torch.HalfStorage": .f16,
    "torch.BFloat16Storage": .bf16, "torch.LongStorage": .i64, "torch.IntStorage": .i32,
    "torch.ShortStorage": .i16, "torch.CharStorage": .i8, "torch.ByteStorage": .u8,
    "torch.BoolStorage": .bool, "torch.ComplexFloatStorage": .c64,
  ]

  /// A tensor of `(storage, offset, shape, strides, ...)`.
  private mutating func tensor(_ arguments: [Value]) throws(CheckpointError) -> Value {
    guard arguments.count >= 4, case .integer(let offset) = arguments[1], offset >= 0,
      let shape = dimensions(arguments[2]), let strides = dimensions(arguments[3]),
      shape.count == strides.count
    else { throw fault("a tensor is not described as PyTorch does") }
    let storage: Int
    switch arguments[0] {
    case .storage(let index): storage = index
    case .otherTensor(let other): return .otherTensor(other)
    default: throw fault("a tensor has no storage")
    }
    guard let count = Safetensors.elementCount(shape) else {
      throw fault("a tensor has the shape \(shape), which is too large")
    }
    let total = storages[storage].count
    guard Self.isInside(total, offset: offset, shape: shape, strides: strides) else {
      throw fault(
        "a tensor of shape \(shape) and strides \(strides) reaches beyond the \(total) elements of its storage"
      )
    }
    // A few elements that stand for many: nobody keeps weights so, and nothing would bound what a copy takes.
    guard count <= total else {
      return .otherTensor(.overlapping(strides))
    }
    tensors.append(Tensor(storage: storage, offset: offset, shape: shape, strides: strides, count: count))
    return .tensor(tensors.count - 1)
  }

  /// Whether the last element of a view lies in its storage.
  private static func isInside(_ total: Int, offset: Int, shape: [Int], strides: [Int]) -> Bool {
    guard !shape.contains(0) else { return offset <= total }
    var last = offset
    for (size, stride) in zip(shape, strides) {
      let (distance, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, carry) = last.addingReportingOverflow(distance)
      guard !overflow, !carry else { return false }
      last = sum
    }
    return last < total
  }

  /// Numbers that are not negative, of no more dimensions than a tensor may have.
  private func dimensions(_ value: Value) -> [Int]? {
    guard case .tuple(let index) = value, sequences[index].count <= Safetensors.maximumRank else {
      return nil
    }
    var numbers: [Int] = []
    for item in sequences[index] {
      guard case .integer(let number) = item, number >= 0 else { return nil }
      numbers.append(number)
    }
    return numbers
  }
}

extension TorchPickle.OtherTensor {
  /// What a function or a storage of torch's makes, by its name.
  static func made(by name: String) -> Self {
    let shown = printable(name)
    if name.contains("qtensor") || name.hasPrefix("torch.Q") {
      return Self(
        what: "quantised numbers (\(shown))",
        advice:
          "Take the file of the weights before they were quantised, or save what dequantize() gives of each with torch.save."
      )
    }
    if name.contains("sparse") {
      return Self(
        what: "a sparse tensor (\(shown))",
        advice: "In Python, save what to_dense() gives of it with torch.save.")
    }
    return Self(
      what: "no plain tensor but \(shown)",
      advice: "Load it in Python, where you trust it, and save plain tensors with torch.save.")
  }

  /// A view whose elements lie on each other.
  static func overlapping(_ strides: [Int]) -> Self {
    Self(
      what: "a view whose elements stand for several, by strides of \(strides)",
      advice: "In Python, save what contiguous() gives of it with torch.save.")
  }
}
