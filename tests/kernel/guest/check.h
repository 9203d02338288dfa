/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named checks. Each prints one TAP line, a failed one says what it got; the
 * program goes on, so that one run shows everything that is wrong.
 */
#ifndef TESTS_KERNEL_GUEST_CHECK_H
#define TESTS_KERNEL_GUEST_CHECK_H

#include <stdbool.h>

#define PRINTF(text, first) __attribute__((format(printf, text, first)))

/* All checks until the next call are named "TOPIC: ...". */
void check_topic(const char *topic);

bool check(bool ok, const char *name, ...) PRINTF(2, 3);

/* For calls that return 0 (or a result) or a negative errno. */
bool check_errno(int got, int want, const char *name, ...) PRINTF(3, 4);
bool check_ok(int got, const char *name, ...) PRINTF(2, 3);

bool check_text(const char *got, const char *want, const char *name, ...) PRINTF(3, 4);
bool check_address(unsigned long long got, unsigned long long want, const char *name, ...) PRINTF(3, 4);

/* Something the tests stand on is missing: says what, and ends the run as failed. */
void bail_out(const char *reason, ...) PRINTF(1, 2) __attribute__((noreturn));

/* The last line of a run; the host takes a run without it for a crash. */
void check_summary(void);

#endif
