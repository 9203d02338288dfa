// SPDX-License-Identifier: Apache-2.0
/*
 * Everything at once: windows are written while users take the groups, enable
 * interrupts and leave again, and the interrupts are sent to and fro between
 * the processors. What must hold all the time: a write is accepted or refused
 * with EBUSY, a window stays put while its group has a user, and that user's
 * interrupts arrive through it. Locks are the kernel's to check: kernel/build
 * --debug makes one that does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

enum { DOORBELL_OFFSET = 0x40, DEFAULT_SECONDS = 1, SLACK_SECONDS = 60 };

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Ends a worker as failed. */
static void __attribute__((format(printf, 1, 2), noreturn)) give_up(const char *reason, ...)
{
	va_list args;

	va_start(args, reason);
	printf("# ");
	vprintf(reason, args);
	putchar('\n');
	fflush(stdout);
	va_end(args);
	_exit(1);
}

/* A worker does its work again and again; each returns how often that came to something. */

static int move_window(const char *bdf, const char *none)
{
	static const char *const values[] = { "0x9000000 0x100000", "0xa000000 0x200000", "default" };
	static unsigned int turn;
	int result;

	(void)none;
	result = knob_write(device_group(bdf), values[turn++ % 3]);

	if (result && result != -EBUSY)
		give_up("the window of %s: %s", bdf, strerror(-result));
	return !result;
}

/* The device's own interrupt arrives through its group's window. */
static void use_device(struct vfio_device *device)
{
	unsigned long long base = strtoull(knob_read(device_group(device->bdf)), NULL, 16);
	int eventfd = msi_enable(device);

	if (eventfd < 0)
		give_up("MSI of %s: %s", device->bdf, strerror(-eventfd));
	if (pci_msi_address(device->bdf) != base + DOORBELL_OFFSET)
		give_up("the MSI address of %s is %#llx under a window at %#llx", device->bdf,
			(unsigned long long)pci_msi_address(device->bdf), base);
	if (!edu_interrupt_arrives(device, eventfd))
		give_up("no interrupt of %s under a window at %#llx", device->bdf, base);
	if (strtoull(knob_read(device_group(device->bdf)), NULL, 16) != base)
		give_up("the window of %s moved under its user", device->bdf);
	if (msi_disable(device))
		give_up("MSI of %s is not disabled", device->bdf);
	close(eventfd);
}

/* Whether the function is ours; if not, another user has it. */
static bool take(struct vfio_space *space, struct vfio_device *device, const char *bdf)
{
	int result;

	if (space->way != CDEV) {
		result = space_add(space, device, bdf);
		if (result == -EBUSY)
			return false;
	} else {
		result = cdev_bind(space, device, bdf);
		/* VFIO's answer if the device file is in use, or the group. */
		if (result == -EINVAL || result == -EBUSY)
			return false;
		if (result >= 0)
			result = cdev_attach(device, space->ioas);
	}
	if (result < 0)
		give_up("%s by way of %s: %s", bdf, vfio_way_names[space->way], strerror(-result));
	return true;
}

static int use_functions(const char *bdf, const char *sibling_bdf)
{
	static unsigned int turn;
	struct vfio_device device, sibling;
	struct vfio_space space;
	int result;

	if (space_open(&space, turn++ % VFIO_WAYS) < 0)
		give_up("no IOVA space: %s", strerror(errno));
	if (!take(&space, &device, bdf))
		give_up("%s is in use", bdf);
	result = space_add_sibling(&space, &device, &sibling, sibling_bdf);
	if (result < 0)
		give_up("%s by way of %s: %s", sibling_bdf, vfio_way_names[space.way], strerror(-result));
	use_device(&device);
	use_device(&sibling);
	device_close(&sibling);
	device_close(&device);
	space_close(&space);
	return 1;
}

static int use_groups(const char *bdf, const char *second_bdf)
{
	static unsigned int turn;
	const char *const bdfs[] = { bdf, second_bdf };
	struct vfio_device devices[2];
	struct vfio_space space;
	int used = 0;

	if (space_open(&space, turn++ % VFIO_WAYS) < 0)
		give_up("no IOVA space: %s", strerror(errno));
	for (int i = 0; i < 2 && bdfs[i]; i++) {
		if (!take(&space, &devices[i], bdfs[i]))
			continue;
		use_device(&devices[i]);
		used++;
	}
	for (int i = 0; i < 2 && bdfs[i]; i++)
		device_close(&devices[i]);
	space_close(&space);
	return used;
}

/* Sends the interrupts of VFIO's devices to one processor, the next time to the other. */
static int send_interrupts_elsewhere(const char *first, const char *second)
{
	static const char *const masks[] = { "1", "2" };
	static unsigned int turn;
	static char interrupts[65536];
	const char *mask = masks[turn++ % 2];
	int moved = 0;

	(void)first;
	(void)second;
	file_read(interrupts, sizeof(interrupts), "/proc/interrupts");
	for (char *line = strtok(interrupts, "\n"); line; line = strtok(NULL, "\n")) {
		char path[64];

		if (!strstr(line, "vfio-msi"))
			continue;
		snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity", atoi(line));
		/* It may be gone by now. */
		moved += !file_write(path, mask, 1);
	}
	return moved;
}

static const struct worker {
	const char *what;
	int (*work)(const char *bdf, const char *second_bdf);
	const char *bdf, *second_bdf;
} workers[] = {
	{ "a window is moved", move_window, EDU, NULL },
	{ "another window is moved", move_window, OTHER_EDU, NULL },
	{ "the window of two functions is moved", move_window, PAIR_FIRST, NULL },
	{ "two groups are used in one IOVA space", use_groups, EDU, OTHER_EDU },
	{ "one of them is used by another user", use_groups, OTHER_EDU, NULL },
	{ "two functions of one group are used", use_functions, PAIR_FIRST, PAIR_SECOND },
	{ "interrupts are sent elsewhere", send_interrupts_elsewhere, NULL, NULL },
};

enum { WORKERS = sizeof(workers) / sizeof(workers[0]) };

/* What each has done so far, in memory that all share. */
static volatile int *done;

/* What never came to pass was not tested: on a busy machine nobody leaves before all had their turn. */
static bool finished(time_t end)
{
	for (int i = 0; i < WORKERS; i++) {
		if (!done[i])
			return false;
	}
	return seconds() >= end;
}

static pid_t start(int number, time_t end)
{
	const struct worker *worker = &workers[number];
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bail_out("no process: %s", strerror(errno));
	if (pid)
		return pid;
	alarm(end - seconds() + SLACK_SECONDS);
	while (!finished(end))
		done[number] += worker->work(worker->bdf, worker->second_bdf);
	printf("# stress: %s: %d times\n", worker->what, done[number]);
	fflush(stdout);
	_exit(0);
}

void test_stress(void)
{
	int wanted = atoi(machine_option("doorbell.stress"));
	time_t end = seconds() + (wanted ?: DEFAULT_SECONDS);
	pid_t pids[WORKERS];

	done = mmap(NULL, WORKERS * sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (done == MAP_FAILED)
		bail_out("no shared memory: %s", strerror(errno));
	for (int i = 0; i < WORKERS; i++)
		pids[i] = start(i, end);
	for (int i = 0; i < WORKERS; i++) {
		int status;

		if (waitpid(pids[i], &status, 0) != pids[i])
			bail_out("a process is lost: %s", strerror(errno));
		check(WIFEXITED(status) && !WEXITSTATUS(status), "%s", workers[i].what);
	}
	munmap((void *)done, WORKERS * sizeof(*done));
	check_errno(knob_write(device_group(EDU), "default"), 0, "the default is restored");
	check_errno(knob_write(device_group(OTHER_EDU), "default"), 0, "the other default is restored");
	check_errno(knob_write(device_group(PAIR_FIRST), "default"), 0, "the default of the two is restored");
}
