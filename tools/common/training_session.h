/* training_session.h - a trainer with what it stands on, and how a run is shown: progress on
 * standard error, a line an epoch on the output. Shared by seki-supernet and seki-train. */
#ifndef SEKI_TOOLS_TRAINING_SESSION_H
#define SEKI_TOOLS_TRAINING_SESSION_H

#include "training_options.h"

struct training_session {
    const struct seki_log *log;
    struct seki_output *output;
    struct seki_dataset *dataset;
    struct seki_backend *backend;
    struct seki_trainer *trainer;
    struct seki_progress progress;
};

/* Opens data, backend and trainer; with --resume goes on from the output file. */
int training_session_open(struct training_session *session, const struct training_options *o,
                          const struct seki_training_settings *settings, struct seki_error *error);
/* The epochs that are left. 1: the reader of the output went away, and the run ended there. */
int training_session_run(struct training_session *session, const char *path, const char *label,
                         struct seki_error *error);
/* A record on the output. */
int training_session_print(struct training_session *session, struct seki_record *record,
                           struct seki_error *error);
/* Ends trainer, backend and data, not the output. */
void training_session_close(struct training_session *session);

#endif
