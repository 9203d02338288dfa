// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "machine.h"

static uint64_t random_state;

void random_start(uint64_t seed)
{
	random_state = seed;
}

uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % limit;
}

bool tally_wrong(struct tally *tally)
{
	enum { DESCRIBED = 5 };

	return tally->wrong++ < DESCRIBED;
}

static int run_as_asker(void *argument)
{
	struct hostile_work *work = argument;
	int result = work->asker == ROOT_OF_NAMESPACE ? enter_user_namespace() : 0;

	random_start(20260101 + work->asker);
	return result ?: work->run(work);
}

void hostile_run(struct hostile_work *work)
{
	static const char *const askers[] = { "root", "root of a user namespace" };
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *asker = askers[work->asker];
	unsigned int missing = 0;
	int answered = 0;

	if (tally == MAP_FAILED)
		bail_out("no shared memory: %s", strerror(errno));
	work->tally = tally;
	check_errno(in_child(run_as_asker, work), 0, "%s, %s: the %s are tried", asker, work->where, work->what);
	printf("# %s, %s:", asker, work->where);
	for (int i = 0; i < REASONS; i++) {
		answered += tally->reasons[i];
		if (tally->reasons[i])
			printf(" %d %s;", tally->reasons[i], work->names[i]);
		else
			missing |= 1u << i;
	}
	putchar('\n');
	check(answered == work->count && !tally->wrong,
	      "%s, %s: %d generated %s are answered as documented, and refused ones change nothing", asker, work->where, work->count,
	      work->what);
	missing &= work->expected;
	check(!missing, "%s, %s: each way to be answered came up", asker, work->where);
	for (int i = 0; i < REASONS; i++) {
		if (missing & 1u << i)
			printf("# not one was: %s\n", work->names[i]);
	}
	munmap(tally, sizeof(*tally));
}
