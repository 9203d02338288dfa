/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input that is made up, thousands of times, and judged by a model: what an
 * input must be answered is worked out in the test from the documents alone, so
 * that the kernel is not its own judge.
 */
#ifndef TESTS_KERNEL_GUEST_HOSTILE_H
#define TESTS_KERNEL_GUEST_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers below LIMIT, after random_start() with the same SEED always the same ones. */
void random_start(uint64_t seed);
uint32_t random_below(uint32_t limit);

/* Who asks. Root of a user namespace gets past the file modes, and has no capability that counts. */
enum asker { ROOT, ROOT_OF_NAMESPACE, ASKERS };

enum { REASONS = 16 };

/* How it went, in memory that the processes share. */
struct tally {
	int reasons[REASONS];	/* how often the model gave each, 0 being success */
	int wrong;
	bool quiet;		/* the device's interrupt has not arrived */
};

/* The answer was not the model's, or something has changed. Whether this one is to be described: the first few are. */
bool tally_wrong(struct tally *tally);

/*
 * Runs WORK in a process of ASKER's, and checks that it found what it needed,
 * that every answer was right, and that each of the EXPECTED reasons (a mask)
 * was among them. NAMES are those of the reasons.
 */
struct hostile_work {
	const char *what;	/* "strings" */
	const char *where;	/* the state of things they are tried in */
	enum asker asker;
	int count;
	unsigned int expected;
	const char *const *names;
	int (*run)(struct hostile_work *work);	/* 0, or a negative errno if nothing could be tried */
	void *argument;
	struct tally *tally;
};
void hostile_run(struct hostile_work *work);

#endif
