/* training_session.c - data, backend and trainer of one run, and how it is shown. */
#include "training_session.h"

static void show_progress(void *context, long images)
{
    struct training_session *session = context;
    seki_progress_set(&session->progress, (double)images);
}

int training_session_print(struct training_session *session, struct seki_record *record,
                           struct seki_error *error)
{
    size_t length;
    const char *text = seki_record_text(record, &length, error);
    return text ? seki_output_line(session->output, text, length, error) : -1;
}

static int print_epoch(void *context, struct seki_record *record, struct seki_error *error)
{
    struct training_session *session = context;
    if (training_session_print(session, record, error) < 0)
        return -1;
    return seki_output_gone(session->output);
}

/* An output file that cannot be written shows now, not after an epoch. */
static int check_output(const char *path, struct seki_error *error)
{
    struct seki_file *file = seki_file_create(path, error);
    if (!file)
        return -1;
    seki_file_abandon(file);
    return 0;
}

int training_session_open(struct training_session *session, const struct training_options *o,
                          const struct seki_training_settings *settings, struct seki_error *error)
{
    if (check_output(o->output, error) < 0)
        return -1;
    session->dataset = seki_dataset_open(o->data, error);
    if (!session->dataset)
        return -1;
    session->backend = seki_backend_open(o->backend, (int)o->threads, error);
    if (!session->backend)
        return -1;
    session->trainer = seki_trainer_open(session->backend, session->dataset, settings, error);
    if (!session->trainer)
        return -1;
    int resumed = o->resume ? seki_trainer_resume(session->trainer, o->output, error) : 0;
    if (resumed > 0)
        seki_log_note(session->log, "%s: %d of %d epochs are done", o->output,
                      seki_trainer_epochs_done(session->trainer), settings->recipe.epochs);
    return resumed < 0 ? -1 : 0;
}

int training_session_run(struct training_session *session, const char *path, const char *label,
                         struct seki_error *error)
{
    struct seki_trainer_hooks hooks = {session, show_progress, print_epoch};
    seki_progress_start(&session->progress, session->log, label, "pictures",
                        seki_trainer_images_left(session->trainer));
    int status = seki_trainer_run(session->trainer, path, &hooks, error);
    seki_progress_end(&session->progress);
    return status;
}

void training_session_close(struct training_session *session)
{
    seki_trainer_close(session->trainer);
    seki_backend_close(session->backend);
    seki_dataset_close(session->dataset);
}
