/* training_session.h - a trainer with what it stands on, how a run is shown (progress on standard
 * error, a line an epoch on the output), stopped and ended. Shared by seki-supernet and seki-train.
 */
#ifndef SEKI_TOOLS_TRAINING_SESSION_H
#define SEKI_TOOLS_TRAINING_SESSION_H

#include "stop_signals.h"
#include "training_options.h"

struct training_session {
    const struct seki_log *log;
    const struct training_options *options;
    struct stop_signals signals;
    struct seki_output *output;
    struct seki_dataset *dataset;
    struct seki_backend *backend;
    struct seki_trainer *trainer;
    struct seki_progress progress;
};

/* What main does after the command line: the output opened, `run` called with the session and
 * `context`, all of it closed, an error told. Returns the exit status. */
typedef int (*training_session_work)(struct training_session *session, const void *context,
                                     struct seki_error *error);
int training_session_main(struct seki_log *log, const struct training_options *options,
                          training_session_work run, const void *context);

/* Opens data, backend and trainer; with --resume goes on from the output file. */
int training_session_open(struct training_session *session,
                          const struct seki_training_settings *settings, struct seki_error *error);
/* What is left to train. 1: the reader of the output went away, and the run ended there. SIGINT or
 * SIGTERM ends it after a step, which is saved (-1, SEKI_NO_RESOURCE, "stopped"). */
int training_session_run(struct training_session *session, const char *label,
                         struct seki_error *error);
/* A record on the output. */
int training_session_print(struct training_session *session, struct seki_record *record,
                           struct seki_error *error);

#endif
