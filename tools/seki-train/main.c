/* seki-train - trains one candidate from scratch, the final network; a JSON object an epoch, the
 * record last. */
#include "common/openmp_waiting.h"
#include "common/training_session.h"

#include <string.h>

struct options {
    struct training_options training;
    double drop_path, auxiliary;
    long cutout;
    bool drop_path_given, auxiliary_given, cutout_given;
    int operands;
    char **operand;
};

/* -1: go on; else the exit status. */
static int parse(struct options *o, const struct seki_log *log, int argc, char **argv)
{
    struct training_options *t = &o->training;
    const struct seki_option table[] = {
        TRAINING_OPTIONS_FILES(t, "the network, written after each epoch and in between"),
        {"images", 'n', SEKI_OPTION_INTEGER, &t->images, "N",
         "first N training pictures, 0 for all", NULL, 0, 1e9, NULL},
        {.help = "Training (defaults of darts; nas201 has its benchmark's, see the man page)"},
        TRAINING_OPTIONS_RECIPE(t),
        {"drop-path", 0, SEKI_OPTION_NUMBER, &o->drop_path, "X",
         "drop path's probability, approached from 0 over the epochs", NULL, 0, 0.95,
         &o->drop_path_given},
        {"auxiliary", 0, SEKI_OPTION_NUMBER, &o->auxiliary, "X",
         "weight of the auxiliary head's loss, 0 for no head", NULL, 0, 10, &o->auxiliary_given},
        {"cutout", 0, SEKI_OPTION_INTEGER, &o->cutout, "N", "side of cutout's square, 0 for none",
         NULL, 0, 1024, &o->cutout_given},
        {.help = "Machine"},
        TRAINING_OPTIONS_MACHINE(t),
        {0},
    };
    const struct seki_program program = {"seki-train", "train one candidate from scratch", "[FILE]",
                                         table, 1};
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
    o->operand = argv + first;
    o->operands = argc - first;
    return -1;
}

static void settings_of(const struct options *o, const struct seki_genotype *genotype,
                        struct seki_training_settings *settings)
{
    bool darts = genotype->space == SEKI_DARTS;
    *settings = (struct seki_training_settings){.genotype = *genotype,
                                                .space = genotype->space,
                                                .channels = darts ? 36 : 16,
                                                .layers = darts ? 20 : 5};
    seki_recipe_final(settings->space, &settings->recipe);
    training_options_apply(&o->training, settings);
    if (o->drop_path_given)
        settings->recipe.drop_path = o->drop_path;
    if (o->auxiliary_given)
        settings->recipe.auxiliary = o->auxiliary;
    if (o->cutout_given)
        settings->recipe.augmentation.cutout = (int)o->cutout;
}

/* Of the network that was trained, which need not be the one that seki-eval counted. */
static int set_cost(struct training_session *session, const struct seki_genotype *genotype,
                    struct seki_record *record, struct seki_error *error)
{
    struct seki_cost cost;
    const struct seki_network_config *config =
        seki_network_get_config(seki_trainer_network(session->trainer));
    if (seki_network_cost(config, genotype, &cost, error) < 0 ||
        seki_record_set_number(record, "metrics.params", (double)cost.parameters, error) < 0)
        return -1;
    return seki_record_set_number(record, "metrics.macs", (double)cost.macs, error);
}

/* The trained network's figures in its record; the test set is looked at here, once. */
static int finish_record(struct training_session *session, const struct seki_genotype *genotype,
                         int epochs, struct seki_record *record, struct seki_error *error)
{
    double accuracy, loss;
    if (seki_trainer_test(session->trainer, &accuracy, &loss, error) < 0 ||
        seki_record_set_number(record, "metrics.test_accuracy", accuracy, error) < 0 ||
        seki_record_set_number(record, "metrics.test_loss", loss, error) < 0 ||
        seki_record_set_number(record, "metrics.epochs", epochs, error) < 0 ||
        set_cost(session, genotype, record, error) < 0)
        return -1;
    return training_session_print(session, record, error);
}

static int run(const struct options *o, struct training_session *session,
               struct seki_record *record, struct seki_error *error)
{
    struct seki_genotype genotype;
    struct seki_training_settings settings;
    if (seki_record_genotype(record, SEKI_LAX, &genotype, error) < 0 ||
        seki_record_set_genotype(record, &genotype, error) < 0)
        return -1;
    settings_of(o, &genotype, &settings);
    if (training_session_open(session, &settings, error) < 0)
        return -1;
    char label[64];
    snprintf(label, sizeof label, "network, %d epochs", settings.recipe.epochs);
    int status = training_session_run(session, label, error);
    if (status != 0)
        return status;
    return finish_record(session, &genotype, settings.recipe.epochs, record, error);
}

/* The one record of the input. */
static int run_first(struct training_session *session, const void *context,
                     struct seki_error *error)
{
    const struct options *o = context;
    struct seki_records *records = seki_records_open(o->operand, o->operands, error);
    if (!records)
        return -1;
    struct seki_record *record;
    int got = seki_records_next(records, &record, error), status = -1;
    if (got == 0)
        seki_fail(error, SEKI_BAD_INPUT, "input",
                  "no record: one candidate is trained, give it on "
                  "standard input or name its file");
    else if (got > 0 && seki_record_failed(record))
        seki_fail(error, SEKI_BAD_INPUT, "input", "%s: %s", seki_records_place(records),
                  seki_record_string(record, "error.message"));
    else if (got > 0) {
        status = run(o, session, record, error);
    }
    seki_records_close(records);
    return status;
}

int main(int argc, char **argv)
{
    struct seki_recipe recipe;
    seki_recipe_final(SEKI_DARTS, &recipe);
    struct options o = {.training = training_options_default(&recipe, 36, 20),
                        .drop_path = recipe.drop_path,
                        .auxiliary = recipe.auxiliary,
                        .cutout = recipe.augmentation.cutout};
    struct seki_log log = {"seki-train", false};
    openmp_waits_briefly();
    int status = parse(&o, &log, argc, argv);
    return status >= 0 ? status : training_session_main(&log, &o.training, run_first, &o);
}
