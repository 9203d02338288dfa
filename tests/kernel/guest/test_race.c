// SPDX-License-Identifier: Apache-2.0
/*
 * Two devices share a page table: the user of one moves the window, again and
 * again, until the other one's doorbell is mapped. Whichever comes first, the
 * doorbell, GET and the IOVA ranges must agree on where the window is.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hostile.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

enum { DOORBELL_OFFSET = 0x40, WINDOWS = 2 };

static const uint64_t windows[WINDOWS] = { 0x9000000, 0xa000000 }, mib = 0x100000;

/* Ends with the first refusal, which must be that of a mapped doorbell. */
static pid_t start_mover(struct vfio_device *device)
{
	pid_t pid;
	int answer;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bail_out("no process");
	if (pid)
		return pid;
	for (unsigned int turn = 0;; turn++) {
		answer = doorbell_set(device, windows[turn % WINDOWS], mib);
		if (answer)
			_exit(answer == -EBUSY ? 0 : 1);
	}
}

static bool all_agree(struct vfio_space *space, struct vfio_device *device, uint64_t *base)
{
	struct vfio_device_feature_msi_doorbell doorbell;
	char ranges[128];

	if (doorbell_get(device, &doorbell) || doorbell.size != mib || doorbell.nr_pages != 1)
		return false;
	*base = doorbell.iova;
	snprintf(ranges, sizeof(ranges), "0-%llx %llx-ffffffffffff", (unsigned long long)(*base - 1), (unsigned long long)(*base + mib));
	return pci_msi_address(device->bdf) == *base + DOORBELL_OFFSET && !strcmp(space_ranges(space), ranges);
}

/* Returns whether all was well; counts in which window the doorbell has come to be. */
static bool run_round(int found[WINDOWS + 1])
{
	struct vfio_device mover, other;
	struct vfio_space space;
	uint64_t base = 0;
	bool ok;
	int eventfd, status, i;
	pid_t pid;

	if (space_open(&space, TYPE1) < 0 || space_add(&space, &mover, EDU) < 0 || space_add(&space, &other, OTHER_EDU) < 0)
		bail_out("no two devices in one page table");
	pid = start_mover(&mover);
	/* The mover is ahead by more or less. */
	for (volatile uint32_t delay = random_below(400000); delay; delay--)
		;
	eventfd = msi_enable(&other);
	ok = eventfd >= 0 && all_agree(&space, &other, &base) && edu_interrupt_arrives(&other, eventfd);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		ok = false;
	if (!ok)
		printf("# doorbell at %#llx, window at %#llx, ranges %s, mover %#x\n", (unsigned long long)pci_msi_address(OTHER_EDU),
		       (unsigned long long)base, space_ranges(&space), status);
	for (i = 0; i < WINDOWS && base != windows[i]; i++)
		;
	found[i]++;
	if (eventfd >= 0)
		close(eventfd);
	device_close(&mover);
	device_close(&other);
	space_close(&space);
	return ok;
}

void test_race(void)
{
	time_t end = time(NULL) + atoi(machine_option("doorbell.stress"));
	int rounds = 0, wrong = 0, found[WINDOWS + 1] = {};

	random_start(20260103);
	/* On a busy machine, until it has come out each way. */
	do {
		wrong += !run_round(found);
		rounds++;
	} while (!wrong && (time(NULL) < end || !found[0] || !found[1]));
	printf("# %d rounds: %d times in the first window, %d in the second, %d where it was\n", rounds, found[0], found[1],
	       found[WINDOWS]);
	check(!wrong, "doorbell, GET and IOVA ranges agree each time");
}
