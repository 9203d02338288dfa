// SPDX-License-Identifier: Apache-2.0
/* Generated arguments of VFIO_DEVICE_FEATURE_MSI_DOORBELL. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "doorbell.h"
#include "hostile.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

enum { FIRST_UNKNOWN_FLAG = 19 };

static const uint64_t window = 0x8000000, mapped_page = 0xc000000, mib = 0x100000;
static const uint64_t aperture_last = 0xffffffffffff;

/* In the order in which the first that is true decides. */
enum reason {
	ACCEPTED,
	NO_HEADER,
	UNKNOWN_OPERATION,
	BOTH_OPERATIONS,
	NO_WINDOW,
	NOT_SUPPORTED,
	NO_OPERATION,
	TOO_SMALL,
	NOT_ZERO,
	HALF,
	UNALIGNED,
	WRAPS,
	LOCKED,
	OUTSIDE,
	OVER_MEMORY,
};

static const struct {
	const char *name;
	int answer;
} reasons[] = {
	[ACCEPTED] = { "accepted", 0 },
	[NO_HEADER] = { "argsz below that of a header", -EINVAL },
	[UNKNOWN_OPERATION] = { "unknown operations", -EINVAL },
	[BOTH_OPERATIONS] = { "GET and SET at once", -EINVAL },
	[NO_WINDOW] = { "without a window to speak of", -ENOTTY },
	[NOT_SUPPORTED] = { "SET where it is not supported", -EINVAL },
	[NO_OPERATION] = { "no operation", -EINVAL },
	[TOO_SMALL] = { "argsz too small", -EINVAL },
	[NOT_ZERO] = { "flags or nr_pages not 0", -EINVAL },
	[HALF] = { "one of iova and size 0", -EINVAL },
	[UNALIGNED] = { "not a multiple of 1 MiB", -EINVAL },
	[WRAPS] = { "a window that wraps around", -EINVAL },
	[LOCKED] = { "while it is locked", -EBUSY },
	[OUTSIDE] = { "outside the aperture", -ERANGE },
	[OVER_MEMORY] = { "over mapped memory", -EADDRINUSE },
};

static const struct situation {
	const char *name;
	enum vfio_way way;
	bool with_msi;		/* MSI is enabled */
	bool attached;		/* CDEV */
	bool mapped;		/* there is MAPPED_PAGE */
	bool no_window;		/* of the group, hence no answers either */
	unsigned int expected;	/* of the reasons that not all have */
} situations[] = {
	{ .name = "type1", .way = TYPE1, .mapped = true, .expected = 1u << OUTSIDE | 1u << OVER_MEMORY },
	{ .name = "type1 with MSI", .way = TYPE1, .with_msi = true, .expected = 1u << LOCKED },
	{ .name = "iommufd", .way = CDEV, .expected = 1u << OUTSIDE },
	{ .name = "iommufd attached", .way = CDEV, .attached = true, .expected = 1u << LOCKED },
	{ .name = "iommufd by group", .way = GROUP_COMPAT, .expected = 1u << NOT_SUPPORTED },
}, without_window = { .name = "type1", .way = TYPE1, .no_window = true, .expected = 1u << NO_WINDOW };

/* An argument. */
struct trial {
	uint32_t argsz, flags;
	struct vfio_device_feature_msi_doorbell doorbell;
};

/* Where the kernel stands. */
struct state {
	const struct situation *situation;
	struct vfio_space space;
	struct vfio_device edu;
	int eventfd;
	uint64_t iova, size;	/* in force */
};

static uint64_t random_number(void)
{
	static const uint64_t edges[] = {
		0, 1, 0xfff, 0x1000, 0x100000, 0x8000000, 0xc000000, 0xfffffff00000, 0x1000000000000,
		0x7ffffffffff00000, 0x8000000000000000, 0xfffffffffff00000, 0xffffffffffffffff,
	};

	switch (random_below(8)) {
	case 0:
		return edges[random_below(sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return (uint64_t)random_below(1u << 31) << random_below(34);
	case 2:
		/* Around the page that is mapped. */
		return 0xb000000 + random_below(32) * mib;
	default:
		return (uint64_t)random_below(1 << 20) << random_below(10) << 20;
	}
}

static uint64_t random_size(void)
{
	return random_below(3) ? (1 + random_below(64)) * mib : random_number();
}

static uint32_t random_argsz(void)
{
	static const uint32_t huge[] = { 4096, 65536, 0x7fffffff, 0x80000000, 0xffffffff };

	switch (random_below(16)) {
	case 0:
		return random_below(2 * ARGSZ);
	case 1:
		return HEADER - 1 + random_below(3);
	case 2:
		return ARGSZ - 1 + random_below(3);
	case 3:
		return huge[random_below(sizeof(huge) / sizeof(huge[0]))];
	default:
		return ARGSZ;
	}
}

static struct trial make_trial(void)
{
	static const uint32_t operations[] = { SET,	  SET,	     SET, SET,	 SET,	      SET,	   SET,
					       GET,	  GET,	     GET | SET, 0, PROBE, PROBE | SET, PROBE | GET | SET };
	struct trial trial = {
		.argsz = random_argsz(),
		.flags = operations[random_below(sizeof(operations) / sizeof(operations[0]))],
		.doorbell = { .iova = random_number(), .size = random_size() },
	};

	if (!random_below(16))
		trial.flags |= 1u << (FIRST_UNKNOWN_FLAG + random_below(32 - FIRST_UNKNOWN_FLAG));
	if (!random_below(16))
		trial.doorbell.flags = 1u << random_below(32);
	if (!random_below(16))
		trial.doorbell.nr_pages = random_below(1u << 31);
	switch (random_below(16)) {
	case 0:
		trial.doorbell.iova = trial.doorbell.size = 0;
		break;
	case 1:
		*(random_below(2) ? &trial.doorbell.iova : &trial.doorbell.size) = 0;
		break;
	case 2:
		/* Around the end of 64 bits. */
		trial.doorbell.iova = -((1 + random_below(32)) * mib);
		trial.doorbell.size = (1 + random_below(64)) * mib;
		break;
	default:
		break;
	}
	return trial;
}

/* A SET that is whole. */
static enum reason expected_of_set(const struct state *state, const struct vfio_device_feature_msi_doorbell *doorbell)
{
	uint64_t iova = doorbell->iova, size = doorbell->size;

	if (doorbell->flags || doorbell->nr_pages)
		return NOT_ZERO;
	if (!iova != !size)
		return HALF;
	if (iova % mib || size % mib)
		return UNALIGNED;
	if (size && iova + (size - 1) < iova)
		return WRAPS;
	if (state->situation->with_msi || state->situation->attached)
		return LOCKED;
	if (!size)
		return ACCEPTED;
	if (iova + (size - 1) > aperture_last)
		return OUTSIDE;
	if (state->situation->mapped && iova <= mapped_page && mapped_page - iova < size)
		return OVER_MEMORY;
	return ACCEPTED;
}

/* Worked out from the text of the header alone. */
static enum reason expected(const struct state *state, const struct trial *trial)
{
	if (trial->argsz < HEADER)
		return NO_HEADER;
	if (trial->flags >> FIRST_UNKNOWN_FLAG)
		return UNKNOWN_OPERATION;
	if ((trial->flags & (PROBE | GET | SET)) == (GET | SET))
		return BOTH_OPERATIONS;
	if (state->situation->no_window)
		return NO_WINDOW;
	if (trial->flags & SET && state->situation->way == GROUP_COMPAT)
		return NOT_SUPPORTED;
	if (trial->flags & PROBE)
		return ACCEPTED;
	if (!(trial->flags & (GET | SET)))
		return NO_OPERATION;
	if (trial->argsz < ARGSZ)
		return TOO_SMALL;
	return trial->flags & SET ? expected_of_set(state, &trial->doorbell) : ACCEPTED;
}

/* GET tells the window in force; where there is none, that there is none. */
static bool window_is_in_force(struct state *state)
{
	struct vfio_device_feature_msi_doorbell doorbell;
	int result = doorbell_get(&state->edu, &doorbell);

	if (state->situation->no_window)
		return result == -ENOTTY;
	return !result && doorbell.iova == state->iova && doorbell.size == state->size;
}

/* Returns whether the answer was right, and the window and the IOVA ranges are what they must be. */
static bool run_trial(struct state *state, const struct trial *trial, enum reason reason, int *answer)
{
	struct vfio_device_feature_msi_doorbell doorbell = trial->doorbell;
	char ranges[1024];

	snprintf(ranges, sizeof(ranges), "%s", space_ranges(&state->space));
	*answer = doorbell_call(&state->edu, trial->argsz, trial->flags, &doorbell);
	if (*answer != reasons[reason].answer)
		return false;
	if (trial->flags == SET && !*answer) {
		state->iova = trial->doorbell.size ? trial->doorbell.iova : window;
		state->size = trial->doorbell.size ?: mib;
	} else if (strcmp(space_ranges(&state->space), ranges)) {
		return false;
	}
	return window_is_in_force(state);
}

static void run_trials(struct hostile_work *work, struct state *state)
{
	for (int i = 0; i < work->count; i++) {
		struct trial trial = make_trial();
		enum reason reason = expected(state, &trial);
		int answer;

		work->tally->reasons[reason]++;
		if (!run_trial(state, &trial, reason, &answer) && tally_wrong(work->tally))
			printf("# struct %d: argsz %u flags %#x: %#x %u %#llx %#llx answered %d, wanted %d\n", i, trial.argsz, trial.flags,
			       trial.doorbell.flags, trial.doorbell.nr_pages, (unsigned long long)trial.doorbell.iova,
			       (unsigned long long)trial.doorbell.size, answer, reasons[reason].answer);
	}
}

/* Everything the asker needs it gets by its own rights. */
static int set_up(struct state *state)
{
	const struct situation *situation = state->situation;
	int result = space_open(&state->space, situation->way);

	state->eventfd = -1;
	if (result >= 0)
		result = situation->way == CDEV ? cdev_bind(&state->space, &state->edu, EDU) :
						  space_add(&state->space, &state->edu, EDU);
	if (result >= 0 && situation->attached)
		result = cdev_attach(&state->edu, state->space.ioas);
	if (result >= 0 && situation->mapped)
		result = space_map(&state->space, mapped_page);
	if (result >= 0 && situation->with_msi)
		result = state->eventfd = msi_enable(&state->edu);
	return result < 0 ? result : 0;
}

static int try_structs(struct hostile_work *work)
{
	struct state state = { .situation = work->argument, .iova = window, .size = mib };
	int result = set_up(&state);

	if (result)
		return result;
	run_trials(work, &state);
	if (state.situation->with_msi)
		work->tally->quiet = !edu_interrupt_arrives(&state.edu, state.eventfd);
	device_close(&state.edu);
	space_close(&state.space);
	fflush(stdout);
	return work->tally->quiet ? -ETIMEDOUT : 0;
}

static void try_situation(const struct situation *situation, int count)
{
	static const char *names[REASONS];

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		names[i] = reasons[i].name;
	for (enum asker asker = 0; asker < ASKERS; asker++) {
		struct hostile_work work = {
			.what = "structs",
			.where = situation->name,
			.asker = asker,
			.count = count,
			.expected = 1u << NO_HEADER | 1u << UNKNOWN_OPERATION | 1u << BOTH_OPERATIONS | situation->expected,
			.names = names,
			.run = try_structs,
			.argument = (void *)situation,
		};

		if (!situation->no_window)
			work.expected |= 1u << ACCEPTED | 1u << NO_OPERATION | 1u << TOO_SMALL;
		if (!situation->no_window && situation->way != GROUP_COMPAT)
			work.expected |= 1u << NOT_ZERO | 1u << HALF | 1u << UNALIGNED | 1u << WRAPS;
		hostile_run(&work);
	}
}

void test_hostile_structs(void)
{
	enum { SITUATIONS = sizeof(situations) / sizeof(situations[0]) };

	for (int i = 0; i < SITUATIONS; i++)
		try_situation(&situations[i], atoi(machine_option("doorbell.structs")) / SITUATIONS);
}

void test_hostile_structs_without_window(void)
{
	try_situation(&without_window, atoi(machine_option("doorbell.structs")) / 10);
}
