/* SAM-OCTA2 for C++17: opens the library and wraps sam_octa2.h. Handles free themselves, errors are exceptions, callbacks are
   std::function. Header only; link with ${CMAKE_DL_LIBS}. The rules (threads, memory) are those of sam_octa2.h; docs/viewers.md
   shows both at work. An exception that leaves a callback stops the call and comes out of it. */
#ifndef SAM_OCTA2_HPP
#define SAM_OCTA2_HPP

#include "sam_octa2.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sam_octa2 {

struct Error : std::runtime_error {
    int32_t status;     // SAM_OCTA2_...
    std::string code;   // "io", "not_found", ...
    std::string detail; // JSON
    Error(int32_t status, std::string code, const std::string &message, std::string detail = "{}")
        : std::runtime_error(message), status(status), code(std::move(code)), detail(std::move(detail)) {}
};

inline Error invalid(const char *message) { return Error(SAM_OCTA2_INVALID_ARGUMENT, "invalid_argument", message); }

// The library's functions; one that an older library lacks is null. Never unloaded.
struct Functions {
#define SAM_OCTA2_MEMBER(name) decltype(&::sam_octa2_##name) name = nullptr;
    SAM_OCTA2_FUNCTIONS(SAM_OCTA2_MEMBER)
#undef SAM_OCTA2_MEMBER
    explicit Functions(const std::string &path) {
        void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library) throw Error(SAM_OCTA2_IO, "io", dlerror());
#define SAM_OCTA2_FIND(name) name = reinterpret_cast<decltype(name)>(dlsym(library, "sam_octa2_" #name));
        SAM_OCTA2_FUNCTIONS(SAM_OCTA2_FIND)
#undef SAM_OCTA2_FIND
        if (!abi_version || abi_version() != 1)
            throw Error(SAM_OCTA2_UNSUPPORTED, "unsupported", path + ": is no SAM-OCTA2 plugin with the interface 1");
    }
};

using Table = std::shared_ptr<const Functions>;
template <class T> using Handle = std::shared_ptr<T>;

// Calls a function that can fail.
template <class F, class... A> void call(const Table &table, F function, A... arguments) {
    if (!function) throw Error(SAM_OCTA2_UNSUPPORTED, "unsupported", "the SAM-OCTA2 library is older than this program and lacks a function");
    sam_octa2_error *raw = nullptr;
    int32_t status = function(arguments..., &raw);
    if (status == SAM_OCTA2_OK) return;
    Handle<sam_octa2_error> error(raw, table->error_free);
    throw Error(status, table->error_code(raw), table->error_message(raw), table->error_detail(raw));
}

template <class F, class... A> std::string text(const Table &table, F function, A... arguments) {
    char *reply = nullptr;
    call(table, function, arguments..., &reply);
    return std::unique_ptr<char, decltype(table->text_free)>(reply, table->text_free).get();
}

// The handle that `make` puts into its argument.
template <class T, class F> Handle<T> made(void (*free)(T *), F make) {
    T *raw = nullptr;
    try {
        make(&raw);
    } catch (...) {
        free(raw);
        throw;
    }
    return {raw, free};
}

// Stops calls from another thread.
class Cancel {
    Table table;
    Handle<sam_octa2_cancel> handle;

  public:
    explicit Cancel(Table from) : table(std::move(from)), handle(table->cancel_new(), table->cancel_free) {}
    void trigger() const { table->cancel_trigger(handle.get()); }
    const sam_octa2_cancel *get() const { return handle.get(); }
};

// What a long call tells and asks. `progress` answers true to go on.
struct Host {
    std::function<bool(const char *stage, uint64_t done, uint64_t total)> progress;
    std::function<void(int32_t severity, const char *line)> log;
    const Cancel *cancel = nullptr;
};

// Makes callbacks of C out of those of C++, and keeps the exception that one of them threw.
class Calls {
    const Host &host;
    std::exception_ptr thrown;
    sam_octa2_host raw{sizeof(sam_octa2_host), this, progress, log, nullptr};

    static int32_t progress(void *context, const char *stage, uint64_t done, uint64_t total) {
        auto &self = *static_cast<Calls *>(context);
        return self.guard([&] { return !self.host.progress || self.host.progress(stage, done, total); }) ? 0 : 1;
    }
    static void log(void *context, int32_t severity, const char *line) {
        auto &self = *static_cast<Calls *>(context);
        self.guard([&] { return self.host.log ? (self.host.log(severity, line), true) : true; });
    }

  public:
    explicit Calls(const Host &host) : host(host) { raw.cancel = host.cancel ? host.cancel->get() : nullptr; }
    Calls(const Calls &) = delete;
    // Runs a callback; false if it threw, now or before.
    template <class F> bool guard(F callback) {
        try {
            return !thrown && callback();
        } catch (...) {
            thrown = std::current_exception();
            return false;
        }
    }
    template <class F> void run(F function) {
        try {
            function(&raw);
        } catch (const Error &) {
            if (!thrown) throw;
        }
        if (thrown) std::rethrow_exception(thrown);
    }
};

template <class T> constexpr uint32_t dtype() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, "values are numbers");
    return (std::is_floating_point_v<T> ? 0x200u : std::is_signed_v<T> ? 0u : 0x100u) + 8 * sizeof(T);
}

// Describes memory of the host's, rows one after another without gaps; change `strides` (bytes) where there are gaps.
template <class T> sam_octa2_view describe(const T *data, std::initializer_list<int64_t> shape, const double *affine = nullptr) {
    sam_octa2_view view{};
    view.size = sizeof view;
    view.data = data;
    view.dtype = dtype<T>();
    for (int64_t extent : shape) view.shape[view.dimensions++] = extent;
    int64_t stride = sizeof(T);
    for (uint32_t at = view.dimensions; at-- > 0; stride *= view.shape[at]) view.strides[at] = stride;
    if (affine) std::copy(affine, affine + 16, view.affine);
    view.has_affine = affine != nullptr;
    return view;
}

// Values of the plugin's, read-only; released when this goes.
class View {
    sam_octa2_view raw{};

  public:
    View() { raw.size = sizeof raw; }
    View(View &&other) noexcept : raw(std::exchange(other.raw, sam_octa2_view{})) {}
    View &operator=(View &&other) noexcept { return std::swap(raw, other.raw), *this; }
    ~View() {
        if (raw.release) raw.release(raw.owner);
    }
    sam_octa2_view *out() { return &raw; }
    const sam_octa2_view &operator*() const { return raw; }
    const sam_octa2_view *operator->() const { return &raw; }
    size_t size() const {
        size_t count = 1;
        for (uint32_t at = 0; at < raw.dimensions; ++at) count *= static_cast<size_t>(raw.shape[at]);
        return count;
    }
    template <class T> const T *data() const {
        if (raw.dtype != dtype<T>()) throw invalid("the view holds values of another type");
        return static_cast<const T *>(raw.data);
    }
};

template <class F, class... A> View viewed(const Table &table, F function, A... arguments) {
    View view;
    call(table, function, arguments..., view.out());
    return view;
}

struct Mask {
    Table table;
    Handle<sam_octa2_mask> handle;
    std::string info() const { return text(table, table->mask_info, handle.get()); }
    std::string rle(const Host &host = {}) const {
        std::string told;
        Calls(host).run([&](auto *raw) { told = text(table, table->mask_rle, handle.get(), raw); });
        return told;
    }
    View view(uint32_t form = SAM_OCTA2_FORM_DENSE) const {
        return viewed(table, table->mask_view, handle.get(), form);
    }
    void write(const std::string &path, const char *options = nullptr, const Host &host = {}) const {
        Calls(host).run([&](auto *raw) { call(table, table->mask_write, handle.get(), path.c_str(), options, raw); });
    }
};

struct Volume {
    Table table;
    Handle<sam_octa2_volume> handle;
    std::string info() const { return text(table, table->volume_info, handle.get()); }
    View frame(uint64_t frame) const { return viewed(table, table->volume_frame, handle.get(), frame); }
    void write(const std::string &path, const Host &host = {}) const {
        Calls(host).run([&](auto *raw) { call(table, table->volume_write, handle.get(), path.c_str(), raw); });
    }
    std::vector<double> to_index(double x, double y, double z) const { return placed(table->volume_to_index, x, y, z); }
    std::vector<double> to_patient(double x, double y, double z) const { return placed(table->volume_to_patient, x, y, z); }

  private:
    template <class F> std::vector<double> placed(F function, double x, double y, double z) const {
        std::vector<double> from{x, y, z}, to(3);
        return call(table, function, handle.get(), from.data(), to.data()), to;
    }
};

struct Model {
    Table table;
    Handle<sam_octa2_model> handle;
    std::string describe() const { return text(table, table->model_describe, handle.get()); }
};

struct Prompt {
    int64_t frame = 0;
    uint32_t object = 1;
    std::vector<double> points;           // x, y of each; in the patient x, y, z
    std::vector<int32_t> labels;          // 1 on the object, 0 outside; empty: all on it
    std::vector<double> bounds;           // two corners, or empty
    uint32_t flags = 0;                   // SAM_OCTA2_PROMPT_...
    const sam_octa2_view *mask = nullptr; // uint8 [rows, columns]
    uint32_t choice = 0;                  // which of the model's masks of a click, 1 to 3; 0: its own choice
    std::vector<double> line;             // a scribble, each place as a point
    double line_width = 0;                // in pixels
    bool line_outside = false;            // is it outside of the object?
    std::vector<double> polygon;          // corners, each as a point: a drawn mask
};

// A slice of a propagation.
struct Slice {
    uint64_t frame;
    std::vector<Mask> masks;
    uint64_t done, total;
};

struct Session {
    Table table;
    Handle<sam_octa2_session> handle;

    std::string describe() const { return text(table, table->session_describe, handle.get()); }
    void encode(uint64_t frame, const Host &host = {}) const {
        Calls(host).run([&](auto *raw) { call(table, table->session_encode, handle.get(), frame, raw); });
    }
    Mask prompt(const Prompt &prompt, const Host &host = {}) const {
        const sam_octa2_prompt raw = lent(prompt);
        return {table, made(table->mask_free, [&](auto **mask) {
            Calls(host).run([&](auto *calls) { call(table, table->session_prompt, handle.get(), &raw, calls, mask); });
        })};
    }
    // The answer that a prompt would get, then the masks to choose from; nothing is changed.
    std::vector<Mask> preview(const Prompt &prompt, const Host &host = {}) const {
        const sam_octa2_prompt raw = lent(prompt);
        sam_octa2_mask *found[8] = {};
        uint64_t count = 0;
        Calls(host).run([&](auto *calls) {
            call(table, table->session_preview, handle.get(), &raw, calls, found, std::size(found), &count);
        });
        std::vector<Mask> masks;
        for (sam_octa2_mask *mask : found)
            if (mask) masks.push_back({table, {mask, table->mask_free}});
        return masks;
    }
    // One of those given, or the last: a step of its own. `undo` takes the last step back.
    void remove_prompt(uint64_t frame, uint32_t object, uint64_t index = UINT64_MAX, const Host &host = {}) const {
        Calls(host).run([&](auto *raw) { call(table, table->session_remove_prompt, handle.get(), frame, object, index, raw); });
    }
    void clear_slice(uint64_t frame, uint32_t object, const Host &host = {}) const {
        Calls(host).run([&](auto *raw) { call(table, table->session_clear_slice, handle.get(), frame, object, raw); });
    }
    // The step as JSON.
    std::string undo() const { return text(table, table->session_undo, handle.get()); }
    std::string redo() const { return text(table, table->session_redo, handle.get()); }
    std::string history() const { return text(table, table->session_history, handle.get()); }
    std::string script(const Host &host = {}) const {
        std::string told;
        Calls(host).run([&](auto *raw) { told = text(table, table->session_script, handle.get(), raw); });
        return told;
    }
    // JSON with any of name, colour, property, visible, locked.
    void set_object(uint32_t object, const std::string &properties) const {
        call(table, table->session_set_object, handle.get(), object, properties.c_str());
    }
    std::string object(uint32_t object) const { return text(table, table->session_object, handle.get(), object); }
    void remove_object(uint32_t object) const { call(table, table->session_remove_object, handle.get(), object); }
    void reset() const { call(table, table->session_reset, handle.get()); }
    void free_caches() const { call(table, table->session_free_caches, handle.get()); }

    // `on_slice` answers true to go on.
    void propagate(const char *range = nullptr, const Host &host = {},
                   const std::function<bool(const Slice &)> &on_slice = {}) const {
        Calls calls(host);
        auto each = [&](uint64_t frame, sam_octa2_mask *const *masks, size_t count, uint64_t done, uint64_t total) {
            return calls.guard([&] {
                Slice slice{frame, {}, done, total};
                for (size_t at = 0; at < count; ++at)
                    slice.masks.push_back({table, {table->mask_retain(masks[at]), table->mask_free}});
                return on_slice(slice);
            });
        };
        auto forward = [](void *context, uint64_t frame, sam_octa2_mask *const *masks, size_t count, uint64_t done, uint64_t total) {
            return (*static_cast<decltype(each) *>(context))(frame, masks, count, done, total) ? 0 : 1;
        };
        sam_octa2_on_slice raw{sizeof raw, &each, forward};
        calls.run([&](auto *from) { call(table, table->session_propagate, handle.get(), range, on_slice ? &raw : nullptr, from); });
    }
    Mask mask(uint64_t frame, uint32_t object) const {
        return {table, made(table->mask_free, [&](auto **mask) {
            call(table, table->session_mask, handle.get(), frame, object, mask);
        })};
    }
    Mask labels(const Host &host = {}) const {
        return {table, made(table->mask_free, [&](auto **mask) {
            Calls(host).run([&](auto *raw) { call(table, table->session_labels, handle.get(), raw, mask); });
        })};
    }
    View save(const Host &host = {}) const {
        View view;
        Calls(host).run([&](auto *raw) { view = viewed(table, table->session_save, handle.get(), raw); });
        return view;
    }

  private:
    static sam_octa2_prompt lent(const Prompt &prompt) {
        size_t numbers = prompt.flags & SAM_OCTA2_PROMPT_PATIENT ? 3 : 2, points = prompt.points.size() / numbers;
        if (prompt.points.size() % numbers || (!prompt.labels.empty() && prompt.labels.size() != points) ||
            (!prompt.bounds.empty() && prompt.bounds.size() != 2 * numbers) || prompt.line.size() % numbers ||
            prompt.polygon.size() % numbers)
            throw invalid("a prompt's points, labels, bounds, line and polygon do not fit each other");
        sam_octa2_prompt raw{};
        raw.size = sizeof raw;
        raw.frame = prompt.frame;
        raw.object = prompt.object;
        raw.flags = prompt.flags;
        raw.points = prompt.points.data();
        raw.labels = prompt.labels.empty() ? nullptr : prompt.labels.data();
        raw.point_count = points;
        raw.bounds = prompt.bounds.empty() ? nullptr : prompt.bounds.data();
        raw.mask = prompt.mask;
        raw.choice = prompt.choice;
        raw.line_label = prompt.line_outside ? 0 : 1;
        raw.line = prompt.line.data();
        raw.line_count = prompt.line.size() / numbers;
        raw.line_width = prompt.line_width;
        raw.polygon = prompt.polygon.data();
        raw.polygon_count = prompt.polygon.size() / numbers;
        return raw;
    }
};

// A function for scripts: a JSON array of arguments to a JSON value; an exception's text is the script's error.
using Function = std::function<std::string(const std::string &arguments)>;

struct Script {
    Table table;
    Handle<sam_octa2_script> handle;

    void add(const char *declaration, Function function) const {
        auto call_it = [](void *context, const char *arguments, const sam_octa2_reply *reply) -> int32_t {
            try {
                reply->call(reply->to, (*static_cast<Function *>(context))(arguments).c_str());
                return 0;
            } catch (const std::exception &error) {
                reply->call(reply->to, error.what());
            } catch (...) {
                reply->call(reply->to, "the viewer's function failed");
            }
            return 1;
        };
        auto release = [](void *context) { delete static_cast<Function *>(context); };
        sam_octa2_function raw{sizeof raw, new Function(std::move(function)), call_it, release};
        call(table, table->script_add_function, handle.get(), declaration, &raw);
    }
    uint64_t share(const Volume &volume) const { return shared(table->script_share_volume, volume.handle.get()); }
    uint64_t share(const Mask &labels) const { return shared(table->script_share_labels, labels.handle.get()); }
    Volume volume(uint64_t id) const {
        return {table, made(table->volume_free, [&](auto **volume) {
            call(table, table->script_volume, handle.get(), id, volume);
        })};
    }
    Mask labels(uint64_t id) const {
        return {table, made(table->mask_free, [&](auto **labels) { call(table, table->script_labels, handle.get(), id, labels); })};
    }
    std::string run(const std::string &request, const Host &host = {}) const {
        std::string reply;
        Calls(host).run([&](auto *raw) { reply = text(table, table->script_run, handle.get(), request.c_str(), raw); });
        return reply;
    }

  private:
    template <class F, class T> uint64_t shared(F function, T *thing) const {
        uint64_t id = 0;
        return call(table, function, handle.get(), thing, &id), id;
    }
};

// The library. Opening it takes a millisecond; libtorch is opened by the first call that computes (the tasks info and convert do not), or by `start`.
struct Plugin {
    Table table;
    explicit Plugin(const std::string &path) : table(std::make_shared<Functions>(path)) {}

    // What lies beside the library: its manifest, read without loading it.
    static std::string sidecar(const std::string &library) {
        std::string path = library.substr(0, library.rfind('.')) + ".json";
        std::ifstream file(path);
        if (!file) throw Error(SAM_OCTA2_NOT_FOUND, "not_found", path + ": cannot be read");
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::string manifest() const { return table->manifest(); }
    void start() const { call(table, table->start); }
    std::string capabilities() const { return text(table, table->capabilities); }
    void set_threads(uint32_t count) const { call(table, table->set_threads, count); }
    std::string task(const char *name, const std::string &request, const Host &host = {}) const {
        std::string reply;
        Calls(host).run([&](auto *raw) { reply = text(table, table->task, name, request.c_str(), raw); });
        return reply;
    }
    Cancel cancel() const { return Cancel(table); }
    Volume open(const std::string &path, const char *options = nullptr, const Host &host = {}) const {
        return {table, made(table->volume_free, [&](auto **volume) {
            Calls(host).run([&](auto *raw) { call(table, table->volume_open, path.c_str(), options, raw, volume); });
        })};
    }
    // `owner` keeps the memory alive until the plugin needs it no more.
    Volume lend(sam_octa2_view view, std::shared_ptr<const void> owner) const {
        using Owner = std::shared_ptr<const void>;
        view.owner = new Owner(std::move(owner));
        view.release = [](void *held) { delete static_cast<Owner *>(held); };
        return {table, made(table->volume_free, [&](auto **volume) { call(table, table->volume_lend, &view, volume); })};
    }
    Model load_model(const std::string &request, const Host &host = {}) const {
        return {table, made(table->model_free, [&](auto **model) {
            Calls(host).run([&](auto *raw) { call(table, table->model_load, request.c_str(), raw, model); });
        })};
    }
    Session session(const Volume &volume, const Model &model, const char *options = nullptr, const Host &host = {}) const {
        return {table, made(table->session_free, [&](auto **session) {
            Calls(host).run([&](auto *raw) {
                call(table, table->session_create, volume.handle.get(), model.handle.get(), options, raw, session);
            });
        })};
    }
    Session restore(const Volume &volume, const Model &model, const uint8_t *state, size_t length,
                    const char *options = nullptr, const Host &host = {}) const {
        return {table, made(table->session_free, [&](auto **session) {
            Calls(host).run([&](auto *raw) {
                call(table, table->session_restore, volume.handle.get(), model.handle.get(), state, length, options, raw, session);
            });
        })};
    }
    Script script() const {
        return {table, made(table->script_free, [&](auto **script) { call(table, table->script_create, script); })};
    }
};

} // namespace sam_octa2

#endif // SAM_OCTA2_HPP
