import Testing

@testable import GraftData

@Suite struct SampleRandomTests {
  @Test("a permutation holds every index once, and another one for another pass or seed")
  func permutation() {
    var seen: Set<[Int]> = []
    for seed: UInt64 in 0..<4 {
      for epoch in 0..<4 {
        var random = SampleRandom(orderOf: epoch, seed: seed)
        let order = random.permutation(50)
        #expect(order.sorted() == Array(0..<50))
        seen.insert(order)
        var again = SampleRandom(orderOf: epoch, seed: seed)
        #expect(again.permutation(50) == order)
      }
    }
    #expect(seen.count == 16)
  }

  @Test("every order of three is as likely as any other")
  func fairness() {
    var counts: [[Int]: Int] = [:]
    for epoch in 0..<6000 {
      var random = SampleRandom(orderOf: epoch, seed: 5)
      counts[random.permutation(3), default: 0] += 1
    }
    #expect(counts.count == 6)
    // 1000 each; the standard deviation is 29.
    #expect(counts.values.allSatisfy { (850...1150).contains($0) })
  }

  @Test("the published sequence: resumed runs of later versions must see the same pictures")
  func stability() {
    var random = SampleRandom(orderOf: 3, seed: 42)
    #expect(random.permutation(8) == [1, 3, 7, 2, 0, 6, 5, 4])
  }
}
