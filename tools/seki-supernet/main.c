/* seki-supernet - trains the weight-sharing supernet of a search space; one JSON object an epoch.
 */
#include "common/openmp_waiting.h"
#include "common/training_session.h"

struct options {
    const char *space;
    struct training_options training;
};

/* -1: go on; else the exit status. */
static int parse(struct options *o, const struct seki_log *log, int argc, char **argv)
{
    struct training_options *t = &o->training;
    const struct seki_option table[] = {
        {"space", 's', SEKI_OPTION_CHOICE, &o->space, "SPACE", "search space", "darts|nas201", 0, 0,
         NULL},
        TRAINING_OPTIONS_FILES(t, "the supernet, written after each epoch and in between"),
        {"images", 'n', SEKI_OPTION_INTEGER, &t->images, "N",
         "first N training pictures, 0 for all: half to train, half to score", NULL, 0, 1e9, NULL},
        {.help = "Training (defaults of darts; nas201: 5 cells a stage, weight decay 5e-4)"},
        TRAINING_OPTIONS_RECIPE(t),
        {.help = "Machine"},
        TRAINING_OPTIONS_MACHINE(t),
        {0},
    };
    const struct seki_program program = {
        "seki-supernet", "train the weight-sharing supernet of a search space", "", table, 0};
    struct seki_error error;
    int first;
    switch (seki_options_parse(&program, argc, argv, stdout, &first, &error)) {
    case SEKI_OPTIONS_DONE:
        return 0;
    case SEKI_OPTIONS_WRONG:
        return seki_log_usage(log, &error);
    case SEKI_OPTIONS_RUN:
        break;
    }
    if (machine_listed(t->backend))
        return 0;
    if (!t->data || !t->output) {
        seki_fail(&error, SEKI_BAD_USE, "options", "--data and --output are needed");
        return seki_log_usage(log, &error);
    }
    return -1;
}

static int run(struct training_session *session, const void *context, struct seki_error *error)
{
    const struct options *o = context;
    struct seki_training_settings settings = {.supernet = true, .channels = 16};
    if (seki_space_parse(o->space, &settings.space, error) < 0)
        return -1;
    settings.layers = settings.space == SEKI_DARTS ? 8 : 5;
    seki_recipe_supernet(settings.space, &settings.recipe);
    training_options_apply(&o->training, &settings);
    if (training_session_open(session, &settings, error) < 0)
        return -1;
    char label[64];
    snprintf(label, sizeof label, "supernet, %d epochs", settings.recipe.epochs);
    return training_session_run(session, label, error);
}

int main(int argc, char **argv)
{
    struct seki_recipe recipe;
    seki_recipe_supernet(SEKI_DARTS, &recipe);
    struct options o = {"darts", training_options_default(&recipe, 16, 8)};
    struct seki_log log = {"seki-supernet", false};
    openmp_waits_briefly();
    int status = parse(&o, &log, argc, argv);
    return status >= 0 ? status : training_session_main(&log, &o.training, run, &o);
}
