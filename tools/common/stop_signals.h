/* stop_signals.h - SIGINT and SIGTERM as a question that a long job asks between two pieces of its
 * work, so that it may end in order. Needs neither a handler nor a global. */
#ifndef SEKI_TOOLS_STOP_SIGNALS_H
#define SEKI_TOOLS_STOP_SIGNALS_H

#include <signal.h>

struct stop_signals {
    sigset_t held;   /* those of the two that were not ignored, as nohup and `&` have them */
    sigset_t before; /* the mask to go back to */
    int came;        /* the first that came; 0: none */
};

/* From here on they wait. Before any thread is begun: threads inherit it. */
void stop_signals_hold(struct stop_signals *signals);
/* The first that came, 0 for none. */
int stop_signals_came(struct stop_signals *signals);
const char *stop_signals_name(int number);
/* They act as before; one that waits, whether it was asked for or not, ends the program here. */
void stop_signals_release(struct stop_signals *signals);

#endif
