// SPDX-License-Identifier: Apache-2.0
#include "nvme.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* NVM Express Base Specification 1.4: section 3.1, controller registers. */
enum {
	REGISTER_CONFIGURATION = 0x14,
	REGISTER_STATUS = 0x1c,
	REGISTER_ADMIN_QUEUE_SIZES = 0x24,
	REGISTER_ADMIN_SUBMISSION_QUEUE = 0x28,
	REGISTER_ADMIN_COMPLETION_QUEUE = 0x30,
	REGISTER_ADMIN_SUBMISSION_TAIL = 0x1000,

	CONFIGURATION_ENABLE = 1,
	CONFIGURATION_ENTRY_SIZES = 6 << 16 | 4 << 20,	/* 64 and 16 bytes */
	STATUS_READY = 1,
	QUEUE_ENTRIES = 2,
};

/* Section 5.14: asks for the number of queues, an answer without data. */
enum { GET_FEATURES = 0x0a, NUMBER_OF_QUEUES = 7 };

/* Anywhere but in a window of the tests. */
enum { SUBMISSION_IOVA = 0x40000000, COMPLETION_IOVA = 0x40001000 };

enum { START_DEADLINE_S = 10 };

struct command {
	uint8_t opcode;
	uint8_t rest[39];
	uint32_t dword10;
	uint32_t dwords11to15[5];
};

static char submissions[4096] __attribute__((aligned(4096)));
static char completions[4096] __attribute__((aligned(4096)));

static volatile uint32_t *reg(void *registers, uint32_t offset)
{
	return (volatile uint32_t *)((char *)registers + offset);
}

static void write_address(void *registers, uint32_t offset, uint64_t address)
{
	*reg(registers, offset) = address;
	*reg(registers, offset + 4) = address >> 32;
}

/* The controller takes its time to start and to stop. */
static bool wait_for_status(void *registers, uint32_t ready)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if ((*reg(registers, REGISTER_STATUS) & STATUS_READY) == ready)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < START_DEADLINE_S);
	return false;
}

static bool run_command(void *registers, int eventfd)
{
	const struct command command = { .opcode = GET_FEATURES, .dword10 = NUMBER_OF_QUEUES };

	*reg(registers, REGISTER_CONFIGURATION) = 0;
	if (!wait_for_status(registers, 0))
		return false;
	*reg(registers, REGISTER_ADMIN_QUEUE_SIZES) = (QUEUE_ENTRIES - 1) << 16 | (QUEUE_ENTRIES - 1);
	write_address(registers, REGISTER_ADMIN_SUBMISSION_QUEUE, SUBMISSION_IOVA);
	write_address(registers, REGISTER_ADMIN_COMPLETION_QUEUE, COMPLETION_IOVA);
	*reg(registers, REGISTER_CONFIGURATION) = CONFIGURATION_ENTRY_SIZES | CONFIGURATION_ENABLE;
	if (!wait_for_status(registers, STATUS_READY))
		return false;
	memset(completions, 0, sizeof(completions));
	memcpy(submissions, &command, sizeof(command));
	__sync_synchronize();
	*reg(registers, REGISTER_ADMIN_SUBMISSION_TAIL) = 1;
	return eventfd_fires(eventfd);
}

bool nvme_interrupt_arrives(struct vfio_space *space, struct vfio_device *device, int eventfd)
{
	void *registers;
	size_t size;
	bool arrived;

	if (space_map_page(space, SUBMISSION_IOVA, submissions) < 0 || space_map_page(space, COMPLETION_IOVA, completions) < 0)
		return false;
	registers = device_registers(device, &size);
	if (!registers)
		return false;
	arrived = run_command(registers, eventfd);
	/* It must be quiet before its queues are unmapped. */
	*reg(registers, REGISTER_CONFIGURATION) = 0;
	arrived &= wait_for_status(registers, 0);
	munmap(registers, size);
	return space_unmap(space, SUBMISSION_IOVA) >= 0 && space_unmap(space, COMPLETION_IOVA) >= 0 && arrived;
}
