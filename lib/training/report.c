/* report.c - an epoch's figures as a JSON object. */
#include "training/training_internal.h"

#include <math.h>

int seki_epoch_report_record(const struct seki_epoch_report *report, struct seki_record *record,
                             struct seki_error *error)
{
    const struct {
        const char *name;
        double value;
    } members[] = {
        {"epoch", report->epoch},
        {"train_loss", report->train_loss},
        {"train_accuracy", report->train_accuracy},
        {"valid_loss", report->valid_loss},
        {"valid_accuracy", report->valid_accuracy},
        {"lr", report->rate},
        {"gradient_norm", report->gradient_norm},
        {"seconds", report->seconds},
        {"data_seconds", report->data_seconds},
        {"images_per_second", report->images_per_second},
        {"activation_bytes", (double)report->activation_bytes},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (isfinite(members[i].value) &&
            seki_record_set_number(record, members[i].name, members[i].value, error) < 0)
            return -1;
    return 0;
}
