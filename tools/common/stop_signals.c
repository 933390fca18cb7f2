/* stop_signals.c - held by the signal mask, asked for with sigpending. */
#include "stop_signals.h"

#include <stddef.h>

static const int numbers[] = {SIGINT, SIGTERM};

void stop_signals_hold(struct stop_signals *signals)
{
    signals->came = 0;
    sigemptyset(&signals->held);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        /* Linux keeps an ignored signal, too, once it is blocked. */
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals->held, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &signals->held, &signals->before);
}

int stop_signals_came(struct stop_signals *signals)
{
    sigset_t pending;
    if (signals->came == 0 && sigpending(&pending) == 0)
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            if (sigismember(&signals->held, numbers[i]) == 1 &&
                sigismember(&pending, numbers[i]) == 1)
                signals->came = numbers[i];
    return signals->came;
}

const char *stop_signals_name(int number)
{
    return number == SIGINT ? "SIGINT" : "SIGTERM";
}

void stop_signals_release(struct stop_signals *signals)
{
    pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
}
