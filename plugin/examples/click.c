/* One click, in C99: click VOLUME MODEL CONFIGURATION LABELS
   cc -std=c99 -I../include click.c -L.. -lsam_octa2 '-Wl,-rpath,$ORIGIN/..' */
#include "sam_octa2.h"
#include <stdio.h>

static sam_octa2_error *error;

static int failed(int32_t status) {
    if (status != SAM_OCTA2_OK) fprintf(stderr, "%s: %s\n", sam_octa2_error_code(error), sam_octa2_error_message(error));
    return status != SAM_OCTA2_OK;
}

static int run(char **arguments, char *request, sam_octa2_volume **volume, sam_octa2_model **model, sam_octa2_session **session,
               sam_octa2_mask **labels) {
    const double point[2] = {41.4, 206.7};
    struct sam_octa2_prompt prompt = {.size = sizeof prompt, .object = 1, .point_count = 1};
    struct sam_octa2_view view = {.size = sizeof view};
    char *told = NULL;
    prompt.points = point;
    if (failed(sam_octa2_volume_open(arguments[1], NULL, NULL, volume, &error)) ||
        failed(sam_octa2_model_load(request, NULL, model, &error)) ||
        failed(sam_octa2_session_create(*volume, *model, NULL, NULL, session, &error)) ||
        failed(sam_octa2_session_prompt(*session, &prompt, NULL, NULL, &error)) ||
        failed(sam_octa2_session_propagate(*session, "{\"max_frames\": 3}", NULL, NULL, &error)) ||
        failed(sam_octa2_session_labels(*session, NULL, labels, &error)) ||
        failed(sam_octa2_mask_view(*labels, SAM_OCTA2_FORM_LABELS, &view, &error)) ||
        failed(sam_octa2_mask_info(*labels, &told, &error)))
        return 1;
    printf("%d x %d x %d, %s\n", (int)view.shape[0], (int)view.shape[1], (int)view.shape[2], told);
    sam_octa2_text_free(told);
    view.release(view.owner);
    return failed(sam_octa2_mask_write(*labels, arguments[4], NULL, NULL, &error));
}

int main(int count, char **arguments) {
    sam_octa2_volume *volume = NULL;
    sam_octa2_model *model = NULL;
    sam_octa2_session *session = NULL;
    sam_octa2_mask *labels = NULL;
    char request[8192];
    int code;
    if (count != 5) return fprintf(stderr, "usage: click VOLUME MODEL CONFIGURATION LABELS\n"), 2;
    snprintf(request, sizeof request, "{\"model\": \"%s\", \"model_config\": \"%s\"}", arguments[2], arguments[3]);
    code = run(arguments, request, &volume, &model, &session, &labels);
    sam_octa2_mask_free(labels);
    sam_octa2_session_free(session);
    sam_octa2_model_free(model);
    sam_octa2_volume_free(volume);
    sam_octa2_error_free(error);
    return code;
}
