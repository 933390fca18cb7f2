/*
 * prefetch.c - batches made ready by a thread of their own, one while the one before is used.
 *
 * Two places in turn: the user has one, the thread fills the other. Which batch is the next follows
 * from its number alone, so that what the user gets does not depend on who was faster.
 */
#include "training/training_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 2

struct seki_prefetch {
    seki_prefetch_fill fill;
    void *context;
    struct batch_memory places[PLACES];
    pthread_t thread;
    bool running; /* the thread is to be joined */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    long first;         /* number of the first batch since the start */
    long filled, freed; /* batches since the start: made ready; done with */
    bool taken;         /* the user has batch `freed` */
    bool stop;
    int end; /* what fill said that was no batch: 0 no more, -1 *error; 1: nothing yet */
    struct seki_error error;
};

/* The next place to fill; false: the thread is to end. Called with the lock held. */
static bool wait_for_place(struct seki_prefetch *prefetch)
{
    while (!prefetch->stop && prefetch->filled - prefetch->freed == PLACES)
        pthread_cond_wait(&prefetch->changed, &prefetch->lock);
    return !prefetch->stop;
}

static void *fill_places(void *argument)
{
    struct seki_prefetch *prefetch = argument;
    struct seki_error error = {0};
    pthread_mutex_lock(&prefetch->lock);
    while (prefetch->end > 0 && wait_for_place(prefetch)) {
        long number = prefetch->first + prefetch->filled;
        struct batch_memory *place = &prefetch->places[prefetch->filled % PLACES];
        pthread_mutex_unlock(&prefetch->lock);
        int status = prefetch->fill(prefetch->context, number, place, &error);
        pthread_mutex_lock(&prefetch->lock);
        prefetch->end = status;
        if (status > 0)
            prefetch->filled++;
        else
            prefetch->error = error;
        pthread_cond_signal(&prefetch->changed);
    }
    pthread_mutex_unlock(&prefetch->lock);
    return NULL;
}

struct seki_prefetch *seki_prefetch_open(int images, size_t picture, seki_prefetch_fill fill,
                                         void *context, struct seki_error *error)
{
    struct seki_prefetch *prefetch = seki_allocate(1, sizeof *prefetch, error);
    if (!prefetch)
        return NULL;
    prefetch->fill = fill;
    prefetch->context = context;
    pthread_mutex_init(&prefetch->lock, NULL);
    pthread_cond_init(&prefetch->changed, NULL);
    for (int i = 0; i < PLACES; i++)
        if (seki_batch_memory_open(&prefetch->places[i], images, picture, error) < 0) {
            seki_prefetch_close(prefetch);
            return NULL;
        }
    return prefetch;
}

/* A signal to the process is for the threads that its program knows of. */
static int create_thread(struct seki_prefetch *prefetch)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&prefetch->thread, NULL, fill_places, prefetch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int seki_prefetch_start(struct seki_prefetch *prefetch, long number, struct seki_error *error)
{
    seki_prefetch_stop(prefetch);
    prefetch->first = number;
    prefetch->filled = prefetch->freed = 0;
    prefetch->taken = prefetch->stop = false;
    prefetch->end = 1;
    int code = create_thread(prefetch);
    if (code != 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "thread",
                         "cannot start the thread that prepares batches: %s", strerror(code));
    prefetch->running = true;
    return 0;
}

bool seki_prefetch_running(const struct seki_prefetch *prefetch)
{
    return prefetch->running;
}

int seki_prefetch_next(struct seki_prefetch *prefetch, const struct batch_memory **batch,
                       double *waited, struct seki_error *error)
{
    int status = 1;
    if (!prefetch->running)
        SEKI_BUG("batches are asked for before the start");
    pthread_mutex_lock(&prefetch->lock);
    if (prefetch->taken) {
        prefetch->freed++;
        prefetch->taken = false;
        pthread_cond_signal(&prefetch->changed);
    }
    if (prefetch->filled == prefetch->freed && prefetch->end > 0) {
        double began = seki_clock();
        while (prefetch->filled == prefetch->freed && prefetch->end > 0)
            pthread_cond_wait(&prefetch->changed, &prefetch->lock);
        *waited += seki_clock() - began;
    }
    if (prefetch->filled > prefetch->freed) {
        *batch = &prefetch->places[prefetch->freed % PLACES];
        prefetch->taken = true;
    } else {
        status = prefetch->end;
        if (status < 0 && error)
            *error = prefetch->error;
    }
    pthread_mutex_unlock(&prefetch->lock);
    return status;
}

void seki_prefetch_stop(struct seki_prefetch *prefetch)
{
    if (!prefetch->running)
        return;
    pthread_mutex_lock(&prefetch->lock);
    prefetch->stop = true;
    pthread_cond_signal(&prefetch->changed);
    pthread_mutex_unlock(&prefetch->lock);
    pthread_join(prefetch->thread, NULL);
    prefetch->running = false;
}

void seki_prefetch_close(struct seki_prefetch *prefetch)
{
    if (!prefetch)
        return;
    seki_prefetch_stop(prefetch);
    pthread_cond_destroy(&prefetch->changed);
    pthread_mutex_destroy(&prefetch->lock);
    for (int i = 0; i < PLACES; i++)
        seki_batch_memory_close(&prefetch->places[i]);
    free(prefetch);
}
