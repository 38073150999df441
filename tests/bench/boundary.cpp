// What the boundary costs, measured by a viewer in C++: `boundary calls|lend|scan LIBRARY ...` prints `name<tab>value` lines for boundary.py.
#include "../../plugin/include/sam_octa2.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

using namespace sam_octa2;
namespace fs = std::filesystem;

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Median of the microseconds of a call.
template <class F> static double microseconds(int count, F call) {
    std::vector<double> times;
    for (int at = 0; at < count; ++at) {
        double start = now();
        call();
        times.push_back((now() - start) * 1e6);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

static void tell(const char *name, double value) { std::printf("%s\t%.3f\n", name, value); }

// A stack of 16-bit voxels with a little structure.
static std::shared_ptr<std::vector<uint16_t>> stack(int64_t frames, int64_t side) {
    auto voxels = std::make_shared<std::vector<uint16_t>>(static_cast<size_t>(frames * side * side));
    uint32_t random = 1;
    for (size_t at = 0; at < voxels->size(); ++at) {
        random = random * 1664525u + 1013904223u;
        (*voxels)[at] = static_cast<uint16_t>((at / 64 % 16) * 200 + (random >> 24));
    }
    return voxels;
}

static Volume lend(const Plugin &plugin, const std::shared_ptr<std::vector<uint16_t>> &voxels, int64_t frames, int64_t side) {
    return plugin.lend(describe(voxels->data(), {frames, side, side}), voxels);
}

static Prompt click(int64_t frame, double at) {
    Prompt prompt;
    prompt.frame = frame;
    prompt.points = {at, at};
    prompt.flags = SAM_OCTA2_PROMPT_REPLACE;
    return prompt;
}

static void calls(const Plugin &plugin, const char *request, int64_t side) {
    const int many = 2001;
    double start = now();
    plugin.start();
    tell("start", (now() - start) * 1e6);
    auto voxels = stack(4, side);
    Volume volume = lend(plugin, voxels, 4, side);
    Model model = plugin.load_model(request);
    Session session = plugin.session(volume, model);
    tell("session_encode of a slice", microseconds(3, [&] { session.free_caches(), session.encode(1); }));
    session.encode(1);
    Mask mask = session.prompt(click(1, 20));
    tell("session_prompt, a click on an encoded slice", microseconds(15, [&] { mask = session.prompt(click(1, 20)); }));
    tell("abi_version", microseconds(many, [&] { plugin.table->abi_version(); }));
    tell("mask_retain + mask_free", microseconds(many, [&] { plugin.table->mask_free(plugin.table->mask_retain(mask.handle.get())); }));
    tell("mask_info + text_free", microseconds(many, [&] { mask.info(); }));
    mask.view();
    tell("mask_view + release", microseconds(many, [&] { mask.view(); }));
    tell("session_describe + text_free", microseconds(many, [&] { session.describe(); }));
    tell("session_mask + mask_view + release + mask_free", microseconds(201, [&] { session.mask(1, 1).view(); }));
    tell("volume_to_index", microseconds(many, [&] { volume.to_index(1, 2, 3); }));
    tell("volume_lend + volume_free", microseconds(many, [&] { lend(plugin, voxels, 4, side); }));
    tell("an error and its text", microseconds(many, [&] {
             try {
                 session.mask(3, 7);
             } catch (const Error &) {
             }
         }));
}

static double status(const char *field) {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, std::strlen(field), field) == 0) return std::atof(line.c_str() + std::strlen(field) + 1) / 1024;
    return 0;
}

static void lent(const Plugin &plugin, const char *request, int64_t frames) {
    const int64_t side = 1024;
    auto voxels = stack(frames, side);
    tell("volume, MiB", static_cast<double>(voxels->size()) * 2 / (1 << 20));
    // what a first click needs of its own comes before: libtorch, the model, working memory
    auto small = stack(1, side);
    Model model = plugin.load_model(request);
    Session first = plugin.session(lend(plugin, small, 1, side), model);
    first.prompt(click(0, 300));
    tell("resident before, MiB", status("VmRSS:"));
    tell("peak before, MiB", status("VmHWM:"));
    double start = now();
    Volume volume = lend(plugin, voxels, frames, side);
    tell("volume_lend, ms", (now() - start) * 1e3);
    tell("resident after lending, MiB", status("VmRSS:"));
    start = now();
    Session session = plugin.session(volume, model);
    tell("session_create, ms", (now() - start) * 1e3);
    start = now();
    session.prompt(click(frames / 2, 300));
    tell("first click, ms", (now() - start) * 1e3);
    tell("resident after a click, MiB", status("VmRSS:"));
    tell("peak after a click, MiB", status("VmHWM:"));
}

// Out of the system's cache of files.
static void forget(const fs::path &path) {
    int file = open(path.c_str(), O_RDONLY);
    if (file < 0) return;
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
}

static void scan(const fs::path &folder) {
    std::vector<fs::path> plugins;
    for (const auto &entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".so") plugins.push_back(entry.path());
    double each = 1e3 / static_cast<double>(plugins.size());
    for (bool cold : {false, true}) {
        size_t bytes = 0;
        if (cold)
            for (const auto &path : plugins) forget(fs::path(path).replace_extension(".json")), forget(path);
        double start = now();
        for (const auto &path : plugins) bytes += Plugin::sidecar(path).size();
        tell(cold ? "sidecar, not in the cache of files" : "sidecar", (now() - start) * each);
        if (bytes == 0) throw std::runtime_error("empty sidecars");
    }
    // a library is opened once only: every other one from the cache of files, then the rest from the disk
    for (size_t cold : {0, 1}) {
        for (size_t at = 1; cold && at < plugins.size(); at += 2) forget(plugins[at]);
        double start = now();
        for (size_t at = cold; at < plugins.size(); at += 2)
            if (Plugin(plugins[at]).manifest().empty()) throw std::runtime_error("empty manifest");
        tell(cold ? "library and manifest, not in the cache of files" : "library and manifest", (now() - start) * each * 2);
    }
}

int main(int count, char **arguments) {
    try {
        std::string what = count > 2 ? arguments[1] : "";
        if (what == "calls" && count == 5) return calls(Plugin(arguments[2]), arguments[3], std::atol(arguments[4])), 0;
        if (what == "lend" && count == 5) return lent(Plugin(arguments[2]), arguments[3], std::atol(arguments[4])), 0;
        if (what == "scan" && count == 3) return scan(arguments[2]), 0;
        return std::fprintf(stderr, "usage: boundary calls LIBRARY MODEL SIDE | lend LIBRARY MODEL FRAMES | scan FOLDER\n"), 2;
    } catch (const std::exception &error) {
        return std::fprintf(stderr, "error: %s\n", error.what()), 1;
    }
}
