import GraftSystem

/// The adapters by their names on the command line.
public enum AdapterCatalog {
  /// All adapters with their default settings, in the order of the documentation.
  public static let all: [any Adapter] = [
    LinearProbe(), BitFit(), HoulsbyAdapter(), PfeifferAdapter(), AdaptFormer(), LoRA(), VPT(.shallow),
    VPT(.deep),
    SSF(), RepAdapter(), FacT(.tensorTrain), FacT(.tucker), Convpass(), ILA(.ila), ILA(.ilaPlus),
    ILA(.ilaPlusPlus), ALoRE(), Dyn(),
  ]

  /// All names, in the order of the documentation.
  public static var names: [String] { all.map(\.name) }

  /// The adapter of that name with the default settings.
  ///
  /// - Throws: ``GraftError/unknownAdapter(_:nearest:known:)`` with the most similar name.
  public static func named(_ name: String) throws -> any Adapter {
    let wanted = name.lowercased()
    if let adapter = all.first(where: { $0.name == wanted }) { return adapter }
    throw GraftError.unknownAdapter(
      name, nearest: nearest(to: name, in: names, within: 2), known: names)
  }

  /// The adapter with one of its settings changed, by the name under which `adapter_config.json` has it.
  ///
  /// A name with a dot, such as `host.rank`, is a setting within a setting.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` naming the settings that there are.
  public static func setting(_ name: String, to value: String, of adapter: any Adapter) throws -> any Adapter
  {
    func changed<A: Adapter>(_ adapter: A) throws -> any Adapter {
      var settings = try JSONValue(encoding: adapter).objectValue ?? [:]
      let known = adapter.settingNames
      guard known.contains(name) else {
        let list = known.isEmpty ? "none" : known.joined(separator: ", ")
        throw GraftError.badSetting(name: name, value: value, reason: "the adapter's settings are: \(list).")
      }
      let parsed = try? JSON.value(JSONValue.self, of: value)
      let path = name.split(separator: ".", maxSplits: 1).map(String.init)
      if path.count == 2, var inner = settings[path[0]]?.objectValue {
        inner[path[1]] = parsed ?? .string(value)
        settings[path[0]] = .object(inner)
      } else {
        settings[name] = parsed ?? .string(value)
      }
      do {
        return try JSONValue.object(settings).decoded(as: A.self)
      } catch let error as GraftError {
        throw error
      } catch {
        throw GraftError.badSetting(name: name, value: value, reason: "it is not of the right kind.")
      }
    }
    return try changed(adapter)
  }
}
