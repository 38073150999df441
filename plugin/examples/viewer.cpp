// What a viewer does with the plugin, without the windows: `viewer LIBRARY VOLUME MODEL CONFIGURATION FOLDER`.
// c++ -std=c++17 -I../include viewer.cpp -ldl -pthread
#include "sam_octa2.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

using namespace sam_octa2;

// The numbers behind `key` in JSON. (A viewer has a JSON library.)
static std::vector<double> numbers(const std::string &json, const std::string &key) {
    std::vector<double> found;
    size_t at = json.find('"' + key + '"');
    if (at == std::string::npos) return found;
    const char *next = json.c_str() + at + key.size() + 2;
    while (*next && std::strchr(": [,", *next)) {
        char *end = nullptr;
        double number = std::strtod(++next, &end);
        if (end != next) found.push_back(number);
        next = end;
    }
    return found;
}

static std::string json(const std::string &text) {
    std::ostringstream out;
    out << std::quoted(text);
    return out.str();
}

// A stack as the viewer holds it: rows with a gap behind them, as graphics cards like them, and where it lies in the patient.
struct Image {
    std::vector<uint8_t> bytes;
    double affine[16];
};

// The plugin's reader fills the viewer's own memory.
static std::shared_ptr<Image> read(const Plugin &plugin, const std::string &path, sam_octa2_view &view) {
    Volume file = plugin.open(path);
    auto shape = numbers(file.info(), "shape");
    auto image = std::make_shared<Image>();
    View first = file.frame(0);
    int64_t rows = first->shape[0], columns = first->shape[1], item = (first->dtype & 0xff) / 8;
    int64_t pitch = columns * item + 64, plane = pitch * rows;
    image->bytes.resize(static_cast<size_t>(plane) * static_cast<size_t>(shape[0]));
    for (int64_t frame = 0; frame < shape[0]; ++frame) {
        View slice = file.frame(static_cast<uint64_t>(frame));
        for (int64_t row = 0; row < rows; ++row)
            std::memcpy(&image->bytes[static_cast<size_t>(frame * plane + row * pitch)],
                        static_cast<const char *>(slice->data) + row * slice->strides[0], static_cast<size_t>(columns * item));
    }
    auto origin = file.to_patient(0, 0, 0);
    for (int axis = 0; axis < 3; ++axis) {
        auto end = file.to_patient(axis == 0, axis == 1, axis == 2);
        for (int row = 0; row < 3; ++row) image->affine[4 * row + axis] = end[row] - origin[row];
    }
    for (int row = 0; row < 4; ++row) image->affine[4 * row + 3] = row < 3 ? origin[row] : 1;
    for (int column = 0; column < 3; ++column) image->affine[12 + column] = 0;

    view = describe(image->bytes.data(), {static_cast<int64_t>(shape[0]), rows, columns}, image->affine);
    view.dtype = first->dtype;
    view.strides[0] = plane, view.strides[1] = pitch, view.strides[2] = item;
    return image;
}

static void run(char **arguments) {
    const std::string library = arguments[1], path = arguments[2], folder = arguments[5];

    // who is it? without loading anything
    auto version = numbers(Plugin::sidecar(library), "c_abi");
    if (version != std::vector<double>{1}) throw std::runtime_error("no plugin for this viewer");
    Plugin plugin(library);

    Host host;
    host.progress = [](const char *stage, uint64_t done, uint64_t total) {
        std::printf("progress %s %llu/%llu\n", stage, static_cast<unsigned long long>(done), static_cast<unsigned long long>(total));
        return true; // a viewer's Cancel button: false
    };
    host.log = [](int32_t, const char *line) { std::printf("log %s\n", line); };

    std::string wanted = "{\"model\": " + json(arguments[3]) + ", \"model_config\": " + json(arguments[4]);
    Model model = plugin.load_model(wanted + ", \"device\": \"cpu\"}", host);

    // the viewer's memory, lent: no copy
    sam_octa2_view view;
    std::shared_ptr<Image> image = read(plugin, path, view);
    Volume volume = plugin.lend(view, image);
    Session session = plugin.session(volume, model);

    // clicks in millimetres of the patient, as a viewer's cross-hair has them
    Prompt vessel, zone;
    vessel.flags = zone.flags = SAM_OCTA2_PROMPT_PATIENT;
    vessel.points = volume.to_patient(41.4, 206.7, 0);
    zone.object = 2;
    zone.points = volume.to_patient(131.2, 126.3, 0);
    zone.bounds = volume.to_patient(105.2, 100.3, 0);
    auto corner = volume.to_patient(157.2, 152.3, 0);
    zone.bounds.insert(zone.bounds.end(), corner.begin(), corner.end());
    session.prompt(vessel);
    Mask answer = session.prompt(zone, host);
    View pixels = answer.view(); // the plugin's memory, shared
    size_t area = 0;
    for (size_t at = 0; at < pixels.size(); ++at) area += pixels.data<uint8_t>()[at];
    std::printf("click %zu pixels, told %g\n", area, numbers(answer.info(), "area").at(0));

    // follow in a worker; the user presses Stop after three slices
    Cancel stop = plugin.cancel();
    host.cancel = &stop;
    std::future<void> worker = std::async(std::launch::async, [&] {
        session.propagate("{\"direction\": \"forward\"}", host, [&](const Slice &slice) {
            if (slice.done == 3) stop.trigger();
            return true;
        });
    });
    try {
        worker.get();
    } catch (const Error &error) {
        std::printf("stopped %s\n", error.code.c_str());
    }
    host.cancel = nullptr;

    // the viewer is closed and opened again
    View state = session.save();
    Session again = plugin.restore(volume, model, state.data<uint8_t>(), state.size());
    again.propagate("{\"direction\": \"forward\"}", host);
    Mask labels = again.labels();
    View stack = labels.view(SAM_OCTA2_FORM_LABELS);
    std::map<uint16_t, size_t> voxels;
    for (size_t at = 0; at < stack.size(); ++at) ++voxels[stack.data<uint16_t>()[at]];
    for (auto [object, count] : voxels) std::printf("object %d: %zu voxels\n", object, count);
    labels.write(folder + "/labels.nii.gz");

    // a script that calls the viewer
    Script script = plugin.script();
    script.add("{\"name\": \"measure\", \"parameters\": [{\"name\": \"labels\"}]}", [&script](const std::string &arguments) {
        Mask shown = script.labels(static_cast<uint64_t>(numbers(arguments, "handle").at(0)));
        View values = shown.view();
        size_t count = 0;
        for (size_t at = 0; at < values.size(); ++at) count += values.data<uint8_t>()[at];
        return std::to_string(count);
    });
    std::string source = "let n = viewer::measure(arg(\"labels\")); print(`measured ${n}`); n";
    std::string handle = std::to_string(script.share(labels));
    std::string request = "{\"source\": " + json(source) + ", \"args\": {\"labels\": {\"handle\": " + handle + "}}}";
    std::printf("script %s\n", script.run(request, host).c_str());

    // errors are exceptions with a sentence for the user
    try {
        plugin.open(folder + "/missing.nii");
    } catch (const Error &error) {
        std::printf("error %s: %s\n", error.code.c_str(), error.what());
    }
}

int main(int count, char **arguments) {
    if (count != 6) return std::fprintf(stderr, "usage: viewer LIBRARY VOLUME MODEL CONFIGURATION FOLDER\n"), 2;
    try {
        run(arguments);
        return 0;
    } catch (const std::exception &error) {
        return std::fprintf(stderr, "error: %s\n", error.what()), 1;
    }
}
