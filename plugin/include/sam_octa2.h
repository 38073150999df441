/* SAM-OCTA2: segments OCT-angiography stacks, and any other stack of slices, with Segment Anything 2.
   The C interface of libsam_octa2.so. Generated; docs/viewers.md shows it at work from C++ and Python.

   Errors      A function that can fail returns 0 (SAM_OCTA2_OK) or a negative number, and then puts an error into `*error`
               (`error` may be null): name, sentence, JSON. `*error` is not touched on success. What a failed function would
               have returned is not touched either.
   Text        in: UTF-8 ended by a zero, borrowed for the call; out (`reply`): free it with sam_octa2_text_free.
   Handles     (volume, model, session, mask, script) are checked: null, freed and foreign ones are errors. Free each once. What
               was made from a handle lives on when it is freed. Handles may go from thread to thread.
   Structs     begin with `size`: set it to sizeof of the struct, also of one that a function fills (a view). Later versions grow
               at the end.
   Threads     every function may be called from any thread. A long call blocks its thread; choose a worker. Calls on different
               handles run side by side; a second call on a session or script that is at work gets SAM_OCTA2_BUSY, never a
               deadlock, also from within a callback.
   Callbacks   (progress, log, on_slice, functions for scripts) come during the call that was given them and never after it,
               one at a time. No exception may leave a callback.
   Cancelling  progress returns not 0, or sam_octa2_cancel_trigger from anywhere: the call ends with SAM_OCTA2_CANCELLED within
               its step, in well under 0.2 s; the session stays usable and keeps what is done, files stay whole. While a step
               lasts, progress comes again with the same numbers, at most every 20 ms.
   Memory      the plugin never writes to memory that the host lends, reads it only until it calls `release`, and calls that
               exactly once, also when the call that received it fails (but not of a struct whose `size` is too small to hold
               it). What the plugin lends is read-only; call `release`.
   Panics      none passes. A failure inside is SAM_OCTA2_PANIC; a session in which it happened answers nothing else from then
               on and can only be freed.
   Loading     the library itself needs only the C library and does nothing when loaded. The tasks without a
               model (sam_octa2_task) need no more; the first other call that computes opens libsam_octa2_engine.so beside it,
               and libtorch. Neither is ever unloaded. CUDA is touched when a device is named.
   Forks       libtorch does not work in a process that was forked after that: calls there that need it are SAM_OCTA2_UNSUPPORTED,
               and freeing does nothing. */


#ifndef SAM_OCTA2_H
#define SAM_OCTA2_H

#include <stddef.h>
#include <stdint.h>

typedef struct sam_octa2_error sam_octa2_error;
typedef struct sam_octa2_cancel sam_octa2_cancel;
typedef struct sam_octa2_volume sam_octa2_volume;
typedef struct sam_octa2_model sam_octa2_model;
typedef struct sam_octa2_session sam_octa2_session;
typedef struct sam_octa2_mask sam_octa2_mask;
typedef struct sam_octa2_script sam_octa2_script;
struct DLManagedTensorVersioned; /* dlpack.h */

// `sam_octa2_prompt.flags`: coordinates are millimetres in the patient, three to a point; the slice is found from them.
#define SAM_OCTA2_PROMPT_PATIENT 1

// `sam_octa2_prompt.flags`: forget the earlier points and box of the slice.
#define SAM_OCTA2_PROMPT_REPLACE 2

// it worked
#define SAM_OCTA2_OK 0

// the host or the user stopped it
#define SAM_OCTA2_CANCELLED -1

// an argument makes no sense
#define SAM_OCTA2_INVALID_ARGUMENT -2

// a file, model or object is not there
#define SAM_OCTA2_NOT_FOUND -3

// the system could not read or write
#define SAM_OCTA2_IO -4

// a file is damaged or of another kind
#define SAM_OCTA2_FORMAT -5

// not offered
#define SAM_OCTA2_UNSUPPORTED -6

// the device is not there or full
#define SAM_OCTA2_DEVICE -7

// libtorch is missing, of another version, or failed
#define SAM_OCTA2_TORCH -8

// a script failed
#define SAM_OCTA2_SCRIPT -9

// the handle is in use by another call
#define SAM_OCTA2_BUSY -10

// the plugin failed inside; please report it
#define SAM_OCTA2_PANIC -11

// any other failure
#define SAM_OCTA2_FAILED -12

// uint8, 1 where the object is (of a label stack: any object)
#define SAM_OCTA2_FORM_DENSE 0

// uint16 object numbers
#define SAM_OCTA2_FORM_LABELS 1

// float32, 0 to 1
#define SAM_OCTA2_FORM_PROBABILITY 2

// float32, positive where the object is
#define SAM_OCTA2_FORM_LOGITS 3

// What a host gives to a long call. All of it may be null or absent.
struct sam_octa2_host {
  // `sizeof` of this struct
  size_t size;
  // given back to the functions
  void *context;
  // `[the calling thread, or one of the plugin's; one call at a time]` A step of `stage` was done; answer 0 to go on, anything else
  // to cancel. Comes again, with the same numbers, while a step lasts
  int32_t (*progress)(void *context, const char *stage, uint64_t done, uint64_t total);
  // `[as progress]` A line for the log: 1 debug, 2 information, 3 warning, 4 error, 16 what a script prints
  void (*log)(void *context, int32_t severity, const char *line);
  // stops the call from another thread
  const sam_octa2_cancel *cancel;
};

// A block of values: lent by the host to the plugin (a volume, a drawn mask), or by the plugin to the host (a result, read-only).
struct sam_octa2_view {
  // `sizeof` of this struct
  size_t size;
  // the first value (index 0 in every dimension, also where a stride is negative)
  const void *data;
  // type of the values: DLPack's code (0 int, 1 uint, 2 float, 6 bool) times 256, plus the bits: `0x0108` is uint8, `0x0220`
  // float32; float16 is read as float32, bool as uint8
  uint32_t dtype;
  // how many dimensions count: 1 bytes; 2 rows, columns; 3 frames, rows, columns; 4 with channels (1 or 3)
  uint32_t dimensions;
  // extent of each dimension
  int64_t shape[4];
  // BYTES from one value to the next in each dimension (numpy's convention, not DLPack's); any order and sign
  int64_t strides[4];
  // does `affine` mean anything?
  int32_t has_affine;
  // voxel index (x = column, y = row, z = frame, 1) to millimetres in the patient, RAS+ as in NIfTI (ITK and DICOM: negate the
  // first two rows); row-major
  double affine[16];
  // given to `release`
  void *owner;
  // called exactly once, on any thread, when the receiver needs the block no more, also when the call that received it fails; may
  // be null
  void (*release)(void *owner);
};

// What a user gives at once on one slice: points, a box, a drawn mask, or any mixture.
struct sam_octa2_prompt {
  // `sizeof` of this struct
  size_t size;
  // the slice, from 0; with `SAM_OCTA2_PROMPT_PATIENT` and points or a box: ignored
  int64_t frame;
  // the object, 1 to 65535
  uint32_t object;
  // sum of `SAM_OCTA2_PROMPT_...`
  uint32_t flags;
  // x, y (pixels of the slice, right and down) of each point; in millimetres x, y, z
  const double *points;
  // 1: on the object, 0: outside; null: all on it
  const int32_t *labels;
  // how many points
  size_t point_count;
  // two corners: x0, y0, x1, y1 (in millimetres x, y, z twice), or null
  const double *bounds;
  // uint8 `[rows, columns]`, not 0: object; or null
  const struct sam_octa2_view *mask;
  // which of the model's masks of a click is the answer, 1 to 3 (`sam_octa2_session_preview` shows them); 0: the one that it takes
  // itself
  uint32_t choice;
  // of `line`: 1: on the object, 0: outside
  uint32_t line_label;
  // a scribble: the places of a polyline, as of `points`; it becomes clicks along it
  const double *line;
  // how many places
  size_t line_count;
  // how wide it was drawn, in pixels: about as far apart are the clicks
  double line_width;
  // the corners of a polygon, as of `points`: it is a drawn mask
  const double *polygon;
  // how many corners
  size_t polygon_count;
};

// Receives the slices of a propagation.
struct sam_octa2_on_slice {
  // `sizeof` of this struct
  size_t size;
  // given back to the function
  void *context;
  // `[the calling thread]` The masks of the objects that were followed on this slice, lent for the call (`sam_octa2_mask_retain` keeps
  // one); answer 0 to go on, anything else to stop: what is done stays
  int32_t (*call)(void *context,
                  uint64_t frame,
                  sam_octa2_mask *const *masks,
                  size_t mask_count,
                  uint64_t done,
                  uint64_t total);
};

// Takes the answer of a host's function.
struct sam_octa2_reply {
  // to be given to `call`
  void *to;
  // gives the answer, a JSON value; it is copied before the call returns
  void (*call)(void *to, const char *json);
};

// A function of the host for scripts.
struct sam_octa2_function {
  // `sizeof` of this struct
  size_t size;
  // given back to the functions
  void *context;
  // `[the thread of sam_octa2_script_run]` Gets the arguments as a JSON array; gives its result to `reply->call(reply->to, json)` and
  // returns 0, or gives a sentence and returns anything else. Volumes and labels are `{"handle": id}`.
  int32_t (*call)(void *context, const char *arguments, const struct sam_octa2_reply *reply);
  // called once when the function is needed no more, also when adding it failed; may be null
  void (*release)(void *context);
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// `[any thread]` The number of this interface, 1. Functions are added under the same number and never changed or removed.
uint32_t sam_octa2_abi_version(void);

// `[any thread]` Who the plugin is, as JSON; the same text as the file `libsam_octa2.json` beside the library. Lives for ever.
const char *sam_octa2_manifest(void);

// `[any thread; blocks]` Opens the engine and libtorch now (0.3 s) rather than in the first call that needs them.
int32_t sam_octa2_start(sam_octa2_error **error);

// `[any thread; blocks]` What this machine offers, as JSON: `devices`, `precisions`, `threads`, `torch`, `models` (those at hand).
int32_t sam_octa2_capabilities(char **reply,
                               sam_octa2_error **error);

// `[any thread; blocks]` Does a whole task: `name` is one of the manifest's `tasks`, request and reply are JSON (docs/abi.md).
// Tasks without a model (`info`, `convert`, `phantom`, `vessels`, `measure`, `export_octa500`) open neither engine nor libtorch.
int32_t sam_octa2_task(const char *name,
                       const char *request,
                       const struct sam_octa2_host *host,
                       char **reply,
                       sam_octa2_error **error);

// `[any thread]` How many threads one computation may use, for all sessions of the process; 0: one for each core.
int32_t sam_octa2_set_threads(uint32_t count, sam_octa2_error **error);

// `[any thread; blocks]` For checks of the boundary. `what`: `panic` (answers SAM_OCTA2_PANIC), `sleep` (a minute with progress), `eager` (from
// now on, and until `patient`, calls of this thread report every step of the work, however short, so that a check can count them).
int32_t sam_octa2_selftest(const char *what,
                           const struct sam_octa2_host *host,
                           sam_octa2_error **error);

// `[any thread]` Frees a text that a function put into `reply`. Null does nothing.
void sam_octa2_text_free(char *text);

// `[any thread]` The number of an error, as the failed function returned it.
int32_t sam_octa2_error_status(const sam_octa2_error *error);

// `[any thread]` The name of the kind of error: `io`, `format`, `not_found`, ... Lives as long as the error.
const char *sam_octa2_error_code(const sam_octa2_error *error);

// `[any thread]` One sentence for the person at the viewer. Lives as long as the error.
const char *sam_octa2_error_message(const sam_octa2_error *error);

// `[any thread]` More for programs: a JSON object, `{}` if there is nothing to add; of a script: file, line, column. Lives as long as
// the error.
const char *sam_octa2_error_detail(const sam_octa2_error *error);

// `[any thread]` Frees an error. Null does nothing.
void sam_octa2_error_free(sam_octa2_error *error);

// `[any thread]` A token to stop calls with (`sam_octa2_host.cancel`). It must outlive the calls that got it.
sam_octa2_cancel *sam_octa2_cancel_new(void);

// `[any thread, also while calls run]` Stops the calls that got the token, and all that will get it.
void sam_octa2_cancel_trigger(const sam_octa2_cancel *cancel);

// `[any thread]` Frees a token. Null does nothing.
void sam_octa2_cancel_free(sam_octa2_cancel *cancel);

// `[any thread; blocks]` Opens a file or folder. `options`: JSON with any of `crop`, `axis`, `series`, `uneven`, `volume`, `channel`, `spacing`
// (docs/formats.md), or null. Large files stay on disk; their slices are read when needed.
int32_t sam_octa2_volume_open(const char *path,
                              const char *options,
                              const struct sam_octa2_host *host,
                              sam_octa2_volume **volume,
                              sam_octa2_error **error);

// `[any thread]` A volume of the host's memory, not copied: `view` has 3 or 4 dimensions in the order frames, rows, columns, channels. The
// memory is only read, and must stay as it is until `view->release` is called: when the volume and all that was made from it are
// freed. Also where this call fails, `release` is called, once.
int32_t sam_octa2_volume_lend(const struct sam_octa2_view *view,
                              sam_octa2_volume **volume,
                              sam_octa2_error **error);

// `[any thread; blocks]` Shape, type, spacing, affine (RAS+), format, as JSON. Nothing is read for it that was not read before.
int32_t sam_octa2_volume_info(sam_octa2_volume *volume,
                              char **reply,
                              sam_octa2_error **error);

// `[any thread; blocks]` The values of one slice, rows, columns and channels, in the volume's own type. Release the view when done.
int32_t sam_octa2_volume_frame(sam_octa2_volume *volume,
                               uint64_t frame,
                               struct sam_octa2_view *view,
                               sam_octa2_error **error);

// `[any thread; blocks]` Writes the volume in the format of the path's ending. The file appears whole or not at all.
int32_t sam_octa2_volume_write(sam_octa2_volume *volume,
                               const char *path,
                               const struct sam_octa2_host *host,
                               sam_octa2_error **error);

// `[any thread]` Millimetres in the patient (RAS+, three numbers) to a voxel index (x = column, y = row, z = frame; fractions stay).
int32_t sam_octa2_volume_to_index(sam_octa2_volume *volume,
                                  const double *patient,
                                  double *index,
                                  sam_octa2_error **error);

// `[any thread]` A voxel index (x, y, z) to millimetres in the patient (RAS+).
int32_t sam_octa2_volume_to_patient(sam_octa2_volume *volume,
                                    const double *index,
                                    double *patient,
                                    sam_octa2_error **error);

// `[any thread]` Frees a handle; sessions made from it live on. Null does nothing.
void sam_octa2_volume_free(sam_octa2_volume *volume);

// `[any thread; blocks]` Loads a model. `request`: JSON `{"model": NAME or FILE, "model_config"?, "device"?, "precision"?, "weights_dirs"?}`.
// Several sessions may share one model.
int32_t sam_octa2_model_load(const char *request,
                             const struct sam_octa2_host *host,
                             sam_octa2_model **model,
                             sam_octa2_error **error);

// `[any thread]` Its file, device, precision, input size and fingerprint, as JSON.
int32_t sam_octa2_model_describe(sam_octa2_model *model, char **reply, sam_octa2_error **error);

// `[any thread]` Frees a handle; sessions made from it live on. Null does nothing.
void sam_octa2_model_free(sam_octa2_model *model);

// `[any thread; blocks]` A session. `options`: JSON with any of `window` (docs/formats.md), `compat` (`"reference"`), `memory_precision`
// (`f32`, `bf16`, `f16`: what memories are rounded to), `feature_cache_bytes`, `state_bytes`, `history_bytes` (what only undo needs), `features`
// (a folder that keeps features of encoded slices for later sessions), `features_bytes` (what its files may take) and `overlap` (which object
// gets a voxel of the labels that several claim: `larger_logit`, `keep` the first, the `later`, `forbid`; a locked object and a prompted
// slice come before), or null. Nothing is computed yet.
int32_t sam_octa2_session_create(sam_octa2_volume *volume,
                                 sam_octa2_model *model,
                                 const char *options,
                                 const struct sam_octa2_host *host,
                                 sam_octa2_session **session,
                                 sam_octa2_error **error);

// `[any thread; blocks]` The session that `sam_octa2_session_save` wrote down; volume and model must be the same. Options as for create.
int32_t sam_octa2_session_restore(sam_octa2_volume *volume,
                                  sam_octa2_model *model,
                                  const uint8_t *state,
                                  size_t length,
                                  const char *options,
                                  const struct sam_octa2_host *host,
                                  sam_octa2_session **session,
                                  sam_octa2_error **error);

// `[any thread; blocks]` Everything that the session knows, as bytes (a view of one dimension). Release the view when done.
int32_t sam_octa2_session_save(sam_octa2_session *session,
                               const struct sam_octa2_host *host,
                               struct sam_octa2_view *view,
                               sam_octa2_error **error);

// `[any thread]` Objects, prompts, slices with masks, memory in use, window, as JSON.
int32_t sam_octa2_session_describe(sam_octa2_session *session, char **reply, sam_octa2_error **error);

// `[any thread; blocks]` Computes the features of a slice now, so that the first prompt on it is answered at once.
int32_t sam_octa2_session_encode(sam_octa2_session *session,
                                 uint64_t frame,
                                 const struct sam_octa2_host *host,
                                 sam_octa2_error **error);

// `[any thread; blocks]` Marks an object on a slice; `mask` (may be null) gets the answer there. An object that is new is added.
int32_t sam_octa2_session_prompt(sam_octa2_session *session,
                                 const struct sam_octa2_prompt *prompt,
                                 const struct sam_octa2_host *host,
                                 sam_octa2_mask **mask,
                                 sam_octa2_error **error);

// `[any thread; blocks]` What `sam_octa2_session_prompt` would answer, for a pointer that hovers: nothing is changed, no step is done. `masks` has
// `room` places: the first gets the answer, the next ones the masks to choose from (`choice` of the prompt, 1 first); `count` gets how
// many there are, the answer included: 1 where the model has one mask for a prompt. Those beyond `room` are not given.
int32_t sam_octa2_session_preview(sam_octa2_session *session,
                                  const struct sam_octa2_prompt *prompt,
                                  const struct sam_octa2_host *host,
                                  sam_octa2_mask **masks,
                                  size_t room,
                                  uint64_t *count,
                                  sam_octa2_error **error);

// `[any thread; blocks]` Removes one prompt of an object on a slice: `index` counts from 0 in the order given; UINT64_MAX: the last one.
int32_t sam_octa2_session_remove_prompt(sam_octa2_session *session,
                                        uint64_t frame,
                                        uint32_t object,
                                        uint64_t index,
                                        const struct sam_octa2_host *host,
                                        sam_octa2_error **error);

// `[any thread; blocks]` Takes back all prompts of an object on a slice; what was tracked there comes back.
int32_t sam_octa2_session_clear_slice(sam_octa2_session *session,
                                      uint64_t frame,
                                      uint32_t object,
                                      const struct sam_octa2_host *host,
                                      sam_octa2_error **error);

// `[any thread]` Names, colours, describes, shows, hides, locks or unlocks an object; one that is new is added. `properties`: JSON with any
// of `name` (at most 64 characters), `colour` (`#rrggbb`), `property` (`vessel`, `artery`, `vein`, `capillary`, `faz`, or codes
// `SCHEME^VALUE^MEANING`), `visible`, `locked`; what is absent stays, an empty text takes a property back. A step like any other. The
// writers of labels say it (docs/formats.md). Nothing changes the masks of a locked object, and it loses no voxel of the labels.
int32_t sam_octa2_session_set_object(sam_octa2_session *session,
                                     uint32_t object,
                                     const char *properties,
                                     sam_octa2_error **error);

// `[any thread]` One object as `sam_octa2_session_describe` tells it, as JSON.
int32_t sam_octa2_session_object(sam_octa2_session *session, uint32_t object, char **reply, sam_octa2_error **error);

// `[any thread]` Removes an object with all its prompts and masks.
int32_t sam_octa2_session_remove_object(sam_octa2_session *session, uint32_t object, sam_octa2_error **error);

// `[any thread]` Removes all objects.
int32_t sam_octa2_session_reset(sam_octa2_session *session, sam_octa2_error **error);

// `[any thread; blocks]` Follows objects through the stack. `range`: JSON with any of `direction` (`forward`, `backward`, `both`), `start`,
// `max_frames`, `objects` (numbers; without them all that are not locked), `patience` (an object that was gone on so many slices in a row is
// followed no further, up to its next prompted slice) and `threshold` (the presence score up to which it counts as gone), or null.
// `on_slice` may be null. Cancelled, what is done stays.
int32_t sam_octa2_session_propagate(sam_octa2_session *session,
                                    const char *range,
                                    const struct sam_octa2_on_slice *on_slice,
                                    const struct sam_octa2_host *host,
                                    sam_octa2_error **error);

// `[any thread; blocks]` The mask of an object on a slice.
int32_t sam_octa2_session_mask(sam_octa2_session *session,
                               uint64_t frame,
                               uint32_t object,
                               sam_octa2_mask **mask,
                               sam_octa2_error **error);

// `[any thread; blocks]` All masks as one stack of object numbers, on the grid of the volume as it was opened.
int32_t sam_octa2_session_labels(sam_octa2_session *session,
                                 const struct sam_octa2_host *host,
                                 sam_octa2_mask **mask,
                                 sam_octa2_error **error);

// `[any thread]` Gives up what can be computed again.
int32_t sam_octa2_session_free_caches(sam_octa2_session *session, sam_octa2_error **error);

// `[any thread]` Takes the last step back, whatever it was: everything is as it was before, bit for bit. `reply` (may be null) gets the step as
// JSON: `op`, what was given, and a `text` to be read. An error where there is nothing to undo, or where the state was given up for
// `history_bytes` (an option of the session) or after 500 steps.
int32_t sam_octa2_session_undo(sam_octa2_session *session,
                               char **reply,
                               sam_octa2_error **error);

// `[any thread]` Does the step again that was undone last, without computing it again. A step of another kind since leaves nothing to redo.
// `reply` as for undo.
int32_t sam_octa2_session_redo(sam_octa2_session *session,
                               char **reply,
                               sam_octa2_error **error);

// `[any thread]` JSON: `done` (the steps in force), `undo` (how many of them can be undone), `undone` (those that can be redone, the next one
// first), `record` (all that was done, in order, undo and redo included).
int32_t sam_octa2_session_history(sam_octa2_session *session,
                                  char **reply,
                                  sam_octa2_error **error);

// `[any thread; blocks]` The session as the text of a script that does the same again (task `script`), with the fingerprints of volume, model and
// labels. Reads the whole volume once.
int32_t sam_octa2_session_script(sam_octa2_session *session,
                                 const struct sam_octa2_host *host,
                                 char **reply,
                                 sam_octa2_error **error);

// `[any thread]` Frees a session. A call that is at work in it on another thread still comes to its end. Masks made from it live on. Null does
// nothing.
void sam_octa2_session_free(sam_octa2_session *session);

// `[any thread]` As JSON: of a slice `frame`, `object`, `iou`, `score`, `area`; of a stack `shape`, `objects` and
// `decided` (voxels that several objects claim, so that `overlap` decided).
int32_t sam_octa2_mask_info(sam_octa2_mask *mask, char **reply, sam_octa2_error **error);

// `[any thread]` The values as shared read-only memory: `form` is one of SAM_OCTA2_FORM_.... Release the view when done.
int32_t sam_octa2_mask_view(sam_octa2_mask *mask,
                            uint32_t form,
                            struct sam_octa2_view *view,
                            sam_octa2_error **error);

// `[any thread; blocks]` COCO run lengths as JSON: of a slice `{"size": [rows, columns], "counts": [...]}`, of a stack a list of these with `frame` and
// `object`.
int32_t sam_octa2_mask_rle(sam_octa2_mask *mask,
                           const struct sam_octa2_host *host,
                           char **reply,
                           sam_octa2_error **error);

// `[any thread]` The same values as a DLPack tensor (`DLManagedTensorVersioned`, CPU, with DLPack's flag for
// read-only memory, which some consumers pass over: copy for those): its own deleter frees it.
int32_t sam_octa2_mask_dlpack(sam_octa2_mask *mask,
                              uint32_t form,
                              struct DLManagedTensorVersioned **tensor,
                              sam_octa2_error **error);

// `[any thread; blocks]` Writes a stack of object numbers in the format of the path's ending. `options`: JSON (docs/formats.md) or null.
int32_t sam_octa2_mask_write(sam_octa2_mask *mask,
                             const char *path,
                             const char *options,
                             const struct sam_octa2_host *host,
                             sam_octa2_error **error);

// `[any thread]` Another handle to the same mask, to keep one that was lent to a callback. Null gives null.
sam_octa2_mask *sam_octa2_mask_retain(sam_octa2_mask *mask);

// `[any thread]` Frees a handle; views of it live on. Null does nothing.
void sam_octa2_mask_free(sam_octa2_mask *mask);

// `[any thread]` A script engine. One run at a time; another one meanwhile gets SAM_OCTA2_BUSY.
int32_t sam_octa2_script_create(sam_octa2_script **script, sam_octa2_error **error);

// `[any thread]` Lets scripts call `viewer::NAME`. `declaration`: JSON `{"name", "doc"?, "parameters"?: [{"name", "optional"?}]}`.
int32_t sam_octa2_script_add_function(sam_octa2_script *script,
                                      const char *declaration,
                                      const struct sam_octa2_function *function,
                                      sam_octa2_error **error);

// `[any thread, also from a function of the host]` Lends a volume to scripts: `{"handle": id}` in arguments and results stands for it, until a run
// has ended, and afterwards as long as `volume` is not freed.
int32_t sam_octa2_script_share_volume(sam_octa2_script *script,
                                      sam_octa2_volume *volume,
                                      uint64_t *id,
                                      sam_octa2_error **error);

// `[any thread, also from a function of the host]` The same for a stack of object numbers.
int32_t sam_octa2_script_share_labels(sam_octa2_script *script,
                                      sam_octa2_mask *labels,
                                      uint64_t *id,
                                      sam_octa2_error **error);

// `[any thread, also from a function of the host]` The volume that a script gave as `{"handle": id}`.
int32_t sam_octa2_script_volume(sam_octa2_script *script,
                                uint64_t id,
                                sam_octa2_volume **volume,
                                sam_octa2_error **error);

// `[any thread, also from a function of the host]` The labels that a script gave as `{"handle": id}`.
int32_t sam_octa2_script_labels(sam_octa2_script *script,
                                uint64_t id,
                                sam_octa2_mask **labels,
                                sam_octa2_error **error);

// `[any thread; blocks]` Runs a script. `request`: JSON `{"path" or "source", "args"?, "limits"?, "roots"?, "library"?, "keep"?}` (docs/abi.md); the reply is
// `{"result": its last value}`. `roots`, `{"read"?: [folders], "write"?: [folders]}`: what it does not name is denied; without it the script reads and
// writes whatever the process may. What it shows lives until the next run.
int32_t sam_octa2_script_run(sam_octa2_script *script,
                             const char *request,
                             const struct sam_octa2_host *host,
                             char **reply,
                             sam_octa2_error **error);

// `[any thread]` Frees the engine. Null does nothing.
void sam_octa2_script_free(sam_octa2_script *script);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SAM_OCTA2_H */

/* Every function, for programs that look them up: each name goes through F. */
#define SAM_OCTA2_FUNCTIONS(F) \
    F(abi_version) \
    F(manifest) \
    F(start) \
    F(capabilities) \
    F(task) \
    F(set_threads) \
    F(selftest) \
    F(text_free) \
    F(error_status) \
    F(error_code) \
    F(error_message) \
    F(error_detail) \
    F(error_free) \
    F(cancel_new) \
    F(cancel_trigger) \
    F(cancel_free) \
    F(volume_open) \
    F(volume_lend) \
    F(volume_info) \
    F(volume_frame) \
    F(volume_write) \
    F(volume_to_index) \
    F(volume_to_patient) \
    F(volume_free) \
    F(model_load) \
    F(model_describe) \
    F(model_free) \
    F(session_create) \
    F(session_restore) \
    F(session_save) \
    F(session_describe) \
    F(session_encode) \
    F(session_prompt) \
    F(session_preview) \
    F(session_remove_prompt) \
    F(session_clear_slice) \
    F(session_set_object) \
    F(session_object) \
    F(session_remove_object) \
    F(session_reset) \
    F(session_propagate) \
    F(session_mask) \
    F(session_labels) \
    F(session_free_caches) \
    F(session_undo) \
    F(session_redo) \
    F(session_history) \
    F(session_script) \
    F(session_free) \
    F(mask_info) \
    F(mask_view) \
    F(mask_rle) \
    F(mask_dlpack) \
    F(mask_write) \
    F(mask_retain) \
    F(mask_free) \
    F(script_create) \
    F(script_add_function) \
    F(script_share_volume) \
    F(script_share_labels) \
    F(script_volume) \
    F(script_labels) \
    F(script_run) \
    F(script_free)
