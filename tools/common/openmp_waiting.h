/* openmp_waiting.h - a program that calls this, from anywhere, has OpenMP threads that wait without
 * hogging a core. */
#ifndef SEKI_TOOLS_OPENMP_WAITING_H
#define SEKI_TOOLS_OPENMP_WAITING_H

/* Does nothing itself: the call brings the object that acts before libgomp is loaded into the
 * program. */
void openmp_waits_briefly(void);

#endif
