/* training_session.c - data, backend and trainer of one run; how it is shown, stopped and ended. */
#include "training_session.h"

static void show_progress(void *context, long images)
{
    struct training_session *session = context;
    seki_progress_set(&session->progress, (double)images);
}

static bool stop_is_wanted(void *context)
{
    struct training_session *session = context;
    return stop_signals_came(&session->signals) != 0;
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
    /* A file that says the epoch is done follows: its line is not to be lost in a buffer. */
    if (training_session_print(session, record, error) < 0 ||
        seki_output_flush(session->output, error) < 0)
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

/* A signal that came while data and network were made ready. */
static int check_stopped(struct training_session *session, struct seki_error *error)
{
    int number = stop_signals_came(&session->signals);
    if (number)
        return seki_fail(error, SEKI_NO_RESOURCE, "stopped",
                         "stopped by %s before the training began, %s is as it was",
                         stop_signals_name(number), session->options->output);
    return 0;
}

static void tell_where(struct training_session *session)
{
    const struct seki_trainer *trainer = session->trainer;
    int epoch = seki_trainer_epochs_done(trainer);
    long step = seki_trainer_steps_done(trainer);
    char rest[64] = "";
    if (step > 0)
        snprintf(rest, sizeof rest, ", and %ld of %ld steps of epoch %d", step,
                 seki_trainer_steps(trainer), epoch + 1);
    seki_log_note(session->log, "%s: %d of %d epochs are done%s", session->options->output, epoch,
                  seki_trainer_epochs(trainer), rest);
}

static void tell_memory(const struct training_session *session)
{
    const struct seki_backend *backend = session->backend;
    const struct seki_trainer_memory memory = seki_trainer_memory(session->trainer);
    seki_log_note(session->log,
                  "%s computes, in %s; a step takes %zu bytes of activations and %zu of parameters "
                  "with gradients and momenta, %zu hold pictures",
                  backend->ops->name, seki_precision_name(backend->precision), memory.activations,
                  memory.parameters, memory.pictures);
}

int training_session_open(struct training_session *session,
                          const struct seki_training_settings *settings, struct seki_error *error)
{
    const struct training_options *o = session->options;
    if (check_output(o->output, error) < 0)
        return -1;
    session->dataset = seki_dataset_open(o->data, error);
    if (!session->dataset || check_stopped(session, error) < 0)
        return -1;
    session->backend =
        seki_backend_open(o->backend, (int)o->threads, seki_precision_named(o->precision), error);
    if (!session->backend)
        return -1;
    session->trainer = seki_trainer_open(session->backend, session->dataset, settings, error);
    if (!session->trainer || check_stopped(session, error) < 0)
        return -1;
    if (o->verbose)
        tell_memory(session);
    int resumed = o->resume ? seki_trainer_resume(session->trainer, o->output, error) : 0;
    if (resumed > 0)
        tell_where(session);
    return resumed < 0 ? -1 : 0;
}

static int fail_stopped(struct training_session *session, struct seki_error *error)
{
    const struct seki_trainer *trainer = session->trainer;
    return seki_fail(error, SEKI_NO_RESOURCE, "stopped",
                     "%s: stopped by %s in epoch %d of %d after step %ld of %ld, which is saved: "
                     "the same command with --resume goes on from there",
                     session->options->output, stop_signals_name(session->signals.came),
                     seki_trainer_epochs_done(trainer) + 1, seki_trainer_epochs(trainer),
                     seki_trainer_steps_done(trainer), seki_trainer_steps(trainer));
}

int training_session_run(struct training_session *session, const char *label,
                         struct seki_error *error)
{
    struct seki_trainer_hooks hooks = {session, show_progress, print_epoch, stop_is_wanted};
    seki_progress_start(&session->progress, session->log, label, "pictures",
                        seki_trainer_images_left(session->trainer));
    int status = seki_trainer_run(session->trainer, session->options->output, &hooks, error);
    seki_progress_end(&session->progress);
    if (status == 1 && session->signals.came)
        return fail_stopped(session, error);
    /* What was trained is kept: from here on they may end the program at once. */
    stop_signals_release(&session->signals);
    return status;
}

int training_session_main(struct seki_log *log, const struct training_options *options,
                          training_session_work run, const void *context)
{
    struct seki_error error;
    struct training_session session = {.log = log, .options = options};
    log->quiet = options->quiet;
    stop_signals_hold(&session.signals);
    session.output = seki_output_open(&error);
    int status = session.output ? run(&session, context, &error) : -1;
    seki_trainer_close(session.trainer);
    seki_backend_close(session.backend);
    seki_dataset_close(session.dataset);
    if (seki_output_close(session.output, status < 0 ? NULL : &error) < 0)
        status = -1;
    if (status >= 0)
        return 0;
    seki_log_error(log, "%s", error.message);
    return seki_error_status(&error);
}
