import GraftOps
import GraftRuntime

/// A learned query that attends to all cells, on the device.
///
/// The query is the same for all images, so its projection is a bias: one layer gives query, keys and values, with rows of
/// zeros for the query, and attention asks for the first token's alone.
struct FrozenAttentionPool {
  private let heads: Int
  private let activation: Activation
  private let qkv: PreparedLinear
  private let projection, fc1, fc2: FrozenLayer
  private let norm: FrozenNorm

  init(_ pool: AttentionPool, _ reader: inout WeightReader, on context: Context) throws {
    heads = pool.heads
    activation = pool.activation
    let width = pool.query.inputs
    let latent = try reader.values(pool.latent)
    let query = try pool.query.tensors.map { try reader.values($0) }
    let projected = (0..<width).map { row in
      let sum = (0..<width).reduce(Double(query[1][row])) {
        $0 + Double(query[0][row * width + $1]) * Double(latent[$1])
      }
      return Float(sum)
    }
    let keysValues = try pool.keysValues.tensors.map { try reader.values($0) }
    qkv = try PreparedLinear(
      weight: [Float](repeating: 0, count: width * width) + keysValues[0], bias: projected + keysValues[1],
      outputs: 3 * width, inputs: width, on: context)
    projection = try reader.layer(pool.projection)
    norm = try reader.norm(pool.norm)
    fc1 = try reader.layer(pool.fc1)
    fc2 = try reader.layer(pool.fc2)
  }

  /// (B, D) of cells (B, N, D).
  func callAsFunction(_ cells: Tensor, on tape: Tape) throws -> Tensor {
    let mixed = try tape.attention(
      tape.linear(cells, qkv), heads: heads, queries: 1, variant: qkv.attention)
    let y = try tape.linear(tape.reshape(mixed, to: [cells.shape[0], cells.width]), projection.linear)
    let hidden = try tape.linear(norm(y, on: tape), fc1.linear, activation: activation, readBy: fc2.linear)
    return try tape.linear(hidden, fc2.linear, residual: y)
  }
}
