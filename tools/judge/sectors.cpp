// A plugin of Oclgrind that counts the sectors of 32 bytes which the waves of a kernel touch in global memory.
//
// A request is one instruction of all work-items of a wave. At the least it touches as many sectors as its bytes fill; what it
// touches beyond that is moved for nothing. When the context ends, a line of JSON a kernel goes to GRAFT_SECTORS.
// GRAFT_WAVE is the number of items of a wave.

#include <oclgrind/Context.h>
#include <oclgrind/KernelInvocation.h>
#include <oclgrind/Memory.h>
#include <oclgrind/Plugin.h>
#include <oclgrind/WorkGroup.h>
#include <oclgrind/WorkItem.h>

#include <fstream>
#include <mutex>
#include <set>
#include <tuple>

// Kernel.h wants LLVM's headers, and this one function is all that is called.
namespace oclgrind {
class Kernel {
 public:
  const std::string &getName() const;
};
}  // namespace oclgrind

using namespace oclgrind;

namespace {

struct Count {
  size_t requests = 0, least = 0, touched = 0, bytes = 0;
};

class Sectors : public Plugin {
 public:
  explicit Sectors(const Context *context) : Plugin(context) {
    const char *wave = getenv("GRAFT_WAVE");
    if (wave) lanes_ = strtoul(wave, nullptr, 10);
  }

  ~Sectors() override {
    const char *path = getenv("GRAFT_SECTORS");
    if (!path) return;
    std::ofstream out(path, std::ios::app);
    for (const auto &[name, count] : counts_) {
      out << "{\"kernel\":\"" << name.first << "\",\"access\":\"" << (name.second ? "store" : "load")
          << "\",\"requests\":" << count.requests << ",\"least\":" << count.least << ",\"touched\":" << count.touched
          << ",\"bytes\":" << count.bytes << "}\n";
    }
  }

  bool isThreadSafe() const override { return false; }

  void kernelBegin(const KernelInvocation *invocation) override { kernel_ = invocation->getKernel()->getName(); }

  void memoryLoad(const Memory *memory, const WorkItem *item, size_t address, size_t size) override {
    note(memory, item, address, size, false);
  }
  void memoryStore(const Memory *memory, const WorkItem *item, size_t address, size_t size, const uint8_t *) override {
    note(memory, item, address, size, true);
  }

  void workGroupComplete(const WorkGroup *) override {
    for (const auto &[request, ranges] : requests_) {
      Count &count = counts_[{kernel_, std::get<3>(request)}];
      std::set<size_t> sectors, bytes;
      for (const auto &[address, size] : ranges) {
        for (size_t at = address; at < address + size; ++at) {
          sectors.insert(at / 32);
          bytes.insert(at);
        }
      }
      count.requests += 1;
      count.least += (bytes.size() + 31) / 32;
      count.touched += sectors.size();
      count.bytes += bytes.size();
    }
    requests_.clear();
    occurrences_.clear();
  }

 private:
  // Wave, instruction, how often the item has come by it, store.
  using Request = std::tuple<size_t, const llvm::Instruction *, size_t, bool>;

  void note(const Memory *memory, const WorkItem *item, size_t address, size_t size, bool isStore) {
    if (memory->getAddressSpace() != AddrSpaceGlobal) return;
    const Size3 local = item->getLocalID(), group = item->getWorkGroup()->getGroupSize();
    const size_t index = local.x + group.x * (local.y + group.y * local.z);
    const llvm::Instruction *instruction = item->getCurrentInstruction();
    const size_t occurrence = occurrences_[{index, instruction}]++;
    requests_[{index / lanes_, instruction, occurrence, isStore}].push_back({address, size});
  }

  size_t lanes_ = 32;
  std::string kernel_;
  std::map<std::pair<std::string, bool>, Count> counts_;
  std::map<Request, std::vector<std::pair<size_t, size_t>>> requests_;
  std::map<std::pair<size_t, const llvm::Instruction *>, size_t> occurrences_;
};

Sectors *plugin = nullptr;

}  // namespace

extern "C" void initializePlugins(Context *context) {
  plugin = new Sectors(context);
  context->registerPlugin(plugin);
}

extern "C" void releasePlugins(Context *context) {
  context->unregisterPlugin(plugin);
  delete plugin;
}
